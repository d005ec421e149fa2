"""Reading many messages at once gives what reading each exactly gives, whatever the bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.encode import SeriesRef, encode_batch, encode_reading
from streams.core import decode
from streams.core.batch import Columns, Decoded, Messages
from streams.core.decode import Decoder
from streams.core.limits import Limits
from streams.core.names import Names
from streams.core.rejection import Rejection
from streams.core.series import SeriesTable
from streams.core.wire.exact import read_message
from streams.core.wire.rows import Row, to_columns
from tests.builders import BASE_US
from tests.strategies import (
    JSON_AS_TEXT,
    JSON_FRAGMENTS,
    JSON_MESSAGES,
    KEYS,
    batch_messages,
    damaged,
    reading_messages,
)

LIMITS = Limits(max_name_chars=10, max_attributes=2, max_readings_per_message=10, max_message_bytes=5000)
AVRO = st.one_of(reading_messages(), batch_messages())
ANYTHING = st.one_of(
    AVRO,
    damaged(AVRO),
    JSON_MESSAGES,
    damaged(JSON_MESSAGES),
    JSON_AS_TEXT,
    JSON_FRAGMENTS,
    st.binary(max_size=20),
    st.none(),
)


@pytest.fixture(scope="module", autouse=True)
def _no_chunk_is_small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decode, "SMALL_CHUNK_BYTES", 0)
        yield


@st.composite
def chunks(draw: st.DrawFn, values: st.SearchStrategy[bytes | None]) -> Messages:
    """Draw a chunk in which some messages occur often enough to be read as a group."""
    drawn: list[bytes | None] = []
    for value in draw(st.lists(values, max_size=8)):
        drawn.extend([value] * draw(st.sampled_from([1, 1, 2, 20])))
    drawn = draw(st.permutations(drawn)) if len(drawn) < 30 else drawn
    count = len(drawn)
    keys = draw(st.lists(KEYS, min_size=1, max_size=3))
    return Messages(
        values=drawn,
        keys=[keys[number % len(keys)] for number in range(count)],
        offsets=100 + 2 * np.arange(count),
        timestamps_ms=1_760_000_000_000 + np.arange(count),
    )


def exactly(messages: Messages, limits: Limits) -> tuple[Decoded, SeriesTable, list[str]]:
    names = Names(limits)
    outcomes = [o for number in range(len(messages)) for o in read_message(messages, number, names, limits)]
    rows = [outcome for outcome in outcomes if isinstance(outcome, Row)]
    rejections = [outcome for outcome in outcomes if isinstance(outcome, Rejection)]
    return Decoded(to_columns(rows, messages), rejections), names.series, names.producers


def spelled_out(columns: Columns, series: SeriesTable, producers: list[str]) -> list[Any]:
    """Return readings by name, as who interned them first does not matter."""
    return [
        (
            series.keys[columns.series[row]],
            int(columns.time_us[row]),
            repr(float(columns.value[row])),
            int(columns.quality[row]),
            int(columns.revision[row]),
            producers[columns.producer[row]],
            int(columns.epoch[row]),
            int(columns.sequence[row]),
            int(columns.offset[row]),
            int(columns.index[row]),
            int(columns.stamp_ms[row]),
        )
        for row in range(len(columns))
    ]


def assert_agreement(messages: Messages) -> None:
    exact, series, producers = exactly(messages, LIMITS)
    natively, in_python = (Decoder(LIMITS, SeriesTable(), native=native) for native in (True, False))
    # Twice each, the second time with everything remembered.
    for decoder in (natively, in_python, natively, in_python):
        decoded = decoder.decode(messages)
        assert decoded.rejections == exact.rejections
        found = spelled_out(decoded.columns, decoder.series, decoder.producers)
        assert found == spelled_out(exact.columns, series, producers)


@given(chunks(ANYTHING))
def test_a_chunk_of_anything_reads_as_its_messages_do_one_by_one(messages: Messages) -> None:
    assert_agreement(messages)


@given(chunks(batch_messages()))
def test_batches_read_in_lockstep_as_they_do_one_by_one(messages: Messages) -> None:
    assert_agreement(messages)


@given(chunks(damaged(batch_messages())))
def test_damaged_batches_read_in_lockstep_as_they_do_one_by_one(messages: Messages) -> None:
    assert_agreement(messages)


@given(chunks(reading_messages()))
def test_readings_read_in_lockstep_as_they_do_one_by_one(messages: Messages) -> None:
    assert_agreement(messages)


@given(chunks(damaged(reading_messages())))
def test_damaged_readings_read_in_lockstep_as_they_do_one_by_one(messages: Messages) -> None:
    assert_agreement(messages)


@pytest.mark.parametrize(
    "message",
    [
        encode_reading(
            source="p",
            metric="m",
            time_us=BASE_US,
            value=1.0,
            attributes={"a": "b"},
            producer="x",
            sequence=1,
        ),
        encode_batch(
            producer="x",
            series=[SeriesRef("p", "m"), SeriesRef("q", "m", {"a": "b"})],
            series_index=[0, 1, 0],
            time_us=[BASE_US, BASE_US + 1, BASE_US + 2],
            value=[1.0, 2.0, 3.0],
            first_sequence=1,
            quality=[0, 1, 2],
            revision=[0, 1, 2],
        ),
    ],
    ids=["reading", "batch"],
)
def test_a_message_with_any_one_byte_changed_reads_in_lockstep_as_it_does_alone(message: bytes) -> None:
    values = [
        message[:place] + bytes([octet]) + message[place + 1 :]
        for place in range(10, len(message))
        for octet in {message[place] ^ 1 << bit for bit in range(8)} | {0, 1, 2, 3, 4, 6, 0x7F, 0x80, 0xFF}
    ]
    count = len(values)
    assert_agreement(Messages(values, [None] * count, np.arange(count), np.zeros(count, np.int64)))


@given(chunks(JSON_MESSAGES))
def test_json_reads_in_columns_as_it_does_one_by_one(messages: Messages) -> None:
    assert_agreement(messages)


@given(chunks(JSON_AS_TEXT))
def test_json_written_in_any_way_reads_in_columns_as_it_does_one_by_one(messages: Messages) -> None:
    assert_agreement(messages)


@given(chunks(JSON_FRAGMENTS))
def test_json_that_opens_or_closes_brackets_does_not_touch_its_neighbours(messages: Messages) -> None:
    assert_agreement(messages)
