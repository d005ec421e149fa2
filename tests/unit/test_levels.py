"""Levels by their names: which there are, which fit each other, and what is said of those that do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.levels import DAY_US, MINUTE_US, LevelError, check_levels, level_name, parse_levels

S = 1_000_000


def test_levels_are_widths_by_name() -> None:
    assert parse_levels("1m,15m,1h,1d") == (MINUTE_US, 15 * MINUTE_US, 60 * MINUTE_US, DAY_US)
    assert parse_levels("10s,1m") == (10 * S, MINUTE_US)


@given(st.integers(1, 10 * 86_400))
def test_a_level_is_called_what_it_is_parsed_from(width_s: int) -> None:
    name = level_name(width_s * S)

    assert int(name[:-1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[name[-1]] == width_s
    if 3_600 % width_s == 0:
        assert parse_levels(name) == (width_s * S,)


@pytest.mark.parametrize("text", ["", "1m,", "60", "1.5m", "0s", "-1m", "1w", "1m 15m", "one"])
def test_what_is_no_level_is_refused(text: str) -> None:
    with pytest.raises(LevelError, match="is no level: write a number and s, m, h or d, like 15m"):
        parse_levels(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1m,90s", "a level of 90 s is not a multiple of the one before, 60 s"),
        ("1m,60s", "a level of 60 s is not a multiple of the one before, 60 s"),
        ("1h,1m", "a level of 60 s is not a multiple of the one before, 3600 s"),
        ("1m,7m", "a day is not a multiple of the highest level, 7m"),
        ("1d,2d", "a day is not a multiple of the highest level, 2d"),
        ("2h,1d", "the lowest level, 2h, is wider than 1h: name one below it"),
    ],
)
def test_levels_that_do_not_fit_are_refused_and_named(text: str, why: str) -> None:
    with pytest.raises(LevelError, match=why):
        parse_levels(text)


@pytest.mark.parametrize("widths_us", [[], [0], [-60], [60, 90], [60, 60], [120, 60]])
def test_widths_that_do_not_fit_are_refused(widths_us: list[int]) -> None:
    with pytest.raises(LevelError):
        check_levels(widths_us)
