"""Time stamps as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.formats.base import BadLine
from jobs.formats.times import UNITS_PER_S, time_parser

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DATES = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(DATES)
def test_a_date_is_read_to_the_microsecond(date: datetime) -> None:
    expected = (date - EPOCH) // timedelta(microseconds=1)

    for text in (date.isoformat(), date.isoformat(" ").replace("+00:00", ""), date.isoformat()[:-6] + "Z"):
        assert time_parser("auto")(text) == expected


@given(st.datetimes(datetime(1974, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_the_unit_of_a_number_is_told_by_its_magnitude(date: datetime) -> None:
    microseconds = (date - EPOCH) // timedelta(microseconds=1)

    for unit, per_s in UNITS_PER_S.items():
        number = microseconds * per_s // 1_000_000
        assert time_parser("auto")(str(number)) == number * 1_000_000 // per_s, unit


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("s", "1.5", 1_500_000),
        ("ms", "1500", 1_500_000),
        ("ns", "1999", 1),
        ("us", "-1", -1),
        ("s", "-0.5", -500_000),
        ("auto", "1714564800.25", 1_714_564_800_250_000),
    ],
)
def test_a_number_is_read_in_its_unit(unit: str, text: str, expected: int) -> None:
    assert time_parser(unit)(text) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "nan", "inf", "2024-13-01", "1e400", "0x10"])
@pytest.mark.parametrize("unit", ["auto", "s"])
def test_what_is_no_time_is_refused(unit: str, text: str) -> None:
    with pytest.raises(BadLine, match="time"):
        time_parser(unit)(text)
