from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.untrusted import hexdump, payload_lines, printable
from schemas.encode import SeriesRef, encode_batch, encode_reading


@given(st.binary(max_size=200))
def test_the_digits_give_the_bytes_back(data: bytes) -> None:
    lines = list(hexdump(data))
    assert b"".join(bytes.fromhex(line[6:53]) for line in lines) == data
    assert [int(line[:4], 16) for line in lines] == list(range(0, len(data), 16))


@given(st.binary(min_size=1, max_size=200))
def test_nothing_reaches_the_terminal_but_printable_characters(data: bytes) -> None:
    assert all(line.isascii() and line.isprintable() for line in hexdump(data))


@given(st.text())
def test_text_keeps_what_can_be_printed_and_escapes_the_rest(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    if text.isprintable():
        assert shown == text


@pytest.mark.parametrize("payload", [b"\xff", b"{", b"", b"[" * 300 + b"]" * 300, b"[" * 60_000])
def test_what_is_no_json_that_can_be_shown_is_shown_as_bytes(payload: bytes) -> None:
    assert [line[:4] for line in payload_lines(payload)][:1] == ["0000"][: len(payload)]


def test_a_long_payload_says_how_much_is_not_shown() -> None:
    assert list(payload_lines(b"\0" * 1030))[-1] == "… 6 bytes more; --json has them all"


def test_json_cannot_clear_the_screen() -> None:
    assert list(payload_lines('"\x9b2J"'.encode())) == ['"\\x9b2J"']


AVRO = [
    encode_reading(source="pump-1", metric="rpm", time_us=1_790_000_000_000_000, value=1450.0),
    encode_batch(
        producer="gateway-7",
        series=[SeriesRef("pump-1", "rpm", {"unit": "/min"})],
        series_index=[0, 0],
        time_us=[1, 2],
        value=[1.0, float("nan")],
    ),
]


def test_avro_of_a_known_schema_is_shown_by_its_fields() -> None:
    single, batch = ("\n".join(payload_lines(message)) for message in AVRO)
    assert '  "metric": "rpm"' in single
    assert '  "time": "2026-09-21T14:13:20+00:00"' in single
    assert '  "producer": "gateway-7"' in batch


@given(st.sampled_from(AVRO), st.integers(10, 60), st.binary(min_size=1, max_size=10))
def test_broken_avro_is_shown_one_way_or_the_other(message: bytes, place: int, broken: bytes) -> None:
    lines = list(payload_lines(message[:place] + broken + message[place + 1 :]))
    assert lines
    assert all(line.isprintable() for line in lines)
