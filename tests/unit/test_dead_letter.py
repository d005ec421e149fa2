"""Dead letters as messages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.dead_letter import decode_dead_letter, encode_dead_letter
from schemas.registry import DEAD_LETTER_V1
from schemas.topics import DEAD_LETTERS, declared
from sinks.timescale.dead_letters import MAX_KEY_BYTES
from streams.core.rejection import MAX_DETAIL_CHARS, MAX_PAYLOAD_BYTES, WHOLE_RECORD, Reason
from streams.settings import Settings

LETTER: dict[str, Any] = {
    "topic": "telemetry.readings",
    "partition": 3,
    "offset": 7,
    "index": WHOLE_RECORD,
    "time_ms": 1_790_000_000_000,
    "reason": "unknown_encoding",
    "detail": "begins with dead: neither Avro nor JSON",
    "payload": b"\xde\xad",
    "payload_bytes": 2,
}


@given(st.integers(0, 2**63 - 1), st.integers(-1, 2**31 - 1), st.text(), st.binary())
def test_what_is_encoded_is_read_back(offset: int, index: int, detail: str, payload: bytes) -> None:
    letter = {**LETTER, "offset": offset, "index": index, "detail": detail, "payload": payload}
    time = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    expected = {**letter, "time": time}
    del expected["time_ms"]
    assert decode_dead_letter(encode_dead_letter(**letter)) == expected


def test_a_letter_without_a_time_has_none() -> None:
    assert decode_dead_letter(encode_dead_letter(**{**LETTER, "time_ms": None}))["time"] is None


def test_the_bytes_of_a_letter_stay_as_they_were_published() -> None:
    assert encode_dead_letter(**LETTER) == bytes.fromhex(
        "c3014d660cfad4376136"
        "2474656c656d657472792e72656164696e6773"
        "060e01"
        "0280b083c59868"
        "20756e6b6e6f776e5f656e636f64696e67"
        "4e626567696e7320776974682064656164"
        "3a206e656974686572204176726f206e6f72204a534f4e"
        "04dead04"
    )


@pytest.mark.parametrize("message", [b"", b"\xde\xad", DEAD_LETTER_V1.prefix[:-1]])
def test_anything_else_is_no_letter(message: bytes) -> None:
    with pytest.raises(ValueError, match="does not begin as a dead letter does"):
        decode_dead_letter(message)


def test_the_largest_letter_fits_its_topic_however_low_messages_are_bounded() -> None:
    longest_topic = "t" * 249
    least = next(
        limit.ge for limit in Settings.model_fields["max_message_bytes"].metadata if hasattr(limit, "ge")
    )
    topics = declared(readings_topic="r", readings_partitions=1, replication=1, max_message_bytes=least)
    (topic,) = (topic for topic in topics if topic.name == DEAD_LETTERS)
    letter = encode_dead_letter(
        topic=longest_topic,
        partition=2**31 - 1,
        offset=2**63 - 1,
        index=2**31 - 1,
        time_ms=2**41,
        reason=max(Reason, key=len).value,
        detail="\N{ROCKET}" * MAX_DETAIL_CHARS,
        payload=b"x" * MAX_PAYLOAD_BYTES,
        payload_bytes=2**31 - 1,
    )
    event_id = f"event_id{longest_topic}/{2**31 - 1}/{2**63 - 1}/{2**31 - 1}"
    of_the_batch = 61 + 30  # the header of a batch of one record, and the lengths of its parts
    assert len(letter) + MAX_KEY_BYTES + len(event_id) + of_the_batch <= int(
        topic.config["max.message.bytes"]
    )
