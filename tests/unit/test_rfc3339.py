"""Times as text: every form that RFC 3339 allows, and no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.rfc3339 import parse_all_us, parse_us
from tests.strategies import OFFSETS, TIMES_AS_TEXT

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

RIGHT = {
    "1970-01-01T00:00:00Z": 0,
    "1970-01-01t00:00:01z": 1_000_000,
    "1970-01-01 00:00:01+00:00": 1_000_000,
    "1970-01-01T00:00:00.1Z": 100_000,
    "1970-01-01T00:00:00.123456Z": 123_456,
    "1970-01-01T00:00:00.123456789Z": 123_456,
    "1969-12-31T23:59:59.999999999Z": -1,
    "1970-01-01T00:00:00-00:00": 0,
    "1970-01-01T05:30:00+05:30": 0,
    "1969-12-31T16:00:00-08:00": 0,
    "2000-02-29T00:00:00Z": 951_782_400_000_000,
    "2024-02-29T23:59:59Z": 1_709_251_199_000_000,
    "0001-01-01T00:00:00Z": -62_135_596_800_000_000,
    "9999-12-31T23:59:59Z": 253_402_300_799_000_000,
    "2016-12-31T23:59:60Z": 1_483_228_800_000_000,
    "2017-01-01T00:59:60.5+01:00": 1_483_228_800_500_000,
}

WRONG = [
    "",
    "2026-01-31",
    "2026-01-31T12:00:00",
    "2026-01-31T12:00Z",
    "2026-01-31T12:00:00.Z",
    "2026-01-31T12:00:00,5Z",
    "2026-01-31T12:00:00.1234567890Z",
    "2026-01-31T12:00:00+0100",
    "2026-01-31T12:00:00+01",
    "2026-01-31T12:00:00*01:00",
    "2026-01-31T12:00:00+24:00",
    "2026-01-31T12:00:00+01:60",
    "2026-01-31T12:00:00+01-00",
    "2026-01-31X12:00:00Z",
    "2026/01/31T12:00:00Z",
    "2026-01-31T12.00.00Z",
    "2026-01-31T24:00:00Z",
    "2026-01-31T12:60:00Z",
    "2026-01-31T12:00:61Z",
    "2026-01-31T12:00:60Z",
    "2026-00-31T12:00:00Z",
    "2026-13-31T12:00:00Z",
    "2026-01-00T12:00:00Z",
    "2026-01-32T12:00:00Z",
    "2025-02-29T12:00:00Z",
    "1900-02-29T12:00:00Z",
    "0000-01-01T00:00:00Z",
    " 026-01-31T12:00:00Z",
    "+026-01-31T12:00:00Z",
    "２026-01-31T12:00:00Z",
    "2026-01-31T12:00:00Z\n",
    "x" * 1_000_000,
]


@pytest.mark.parametrize(("text", "expected_us"), RIGHT.items())
def test_a_right_time_is_read(text: str, expected_us: int) -> None:
    assert parse_us(text) == expected_us
    assert parse_all_us([text, "1970-01-01T00:00:00Z"]).tolist() == [expected_us, 0]


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_us(text)
    with pytest.raises(ValueError):
        parse_all_us(["1970-01-01T00:00:00Z", text])


def test_forms_may_be_mixed() -> None:
    assert parse_all_us(list(RIGHT)).tolist() == list(RIGHT.values())


@given(st.lists(st.datetimes(timezones=OFFSETS), max_size=20))
def test_what_python_writes_is_read_back(times: list[datetime]) -> None:
    expected = [(time - EPOCH) // timedelta(microseconds=1) for time in times]
    texts = [time.isoformat() for time in times]

    assert [parse_us(text) for text in texts] == expected
    assert parse_all_us(texts).tolist() == expected


@given(st.lists(TIMES_AS_TEXT, min_size=1, max_size=5))
def test_times_read_together_are_as_they_are_one_by_one(texts: list[str]) -> None:
    try:
        expected = [parse_us(text) for text in texts]
    except ValueError:
        with pytest.raises(ValueError):
            parse_all_us(texts)
    else:
        assert parse_all_us(texts).tolist() == expected
