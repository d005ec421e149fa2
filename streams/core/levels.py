"""Levels of rollups: how wide their buckets are, and what they are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

MINUTE_US = 60_000_000
DAY_US = 24 * 60 * MINUTE_US

WIDEST_LOWEST_US = 60 * MINUTE_US
"""The lowest level is made of readings: each claim, and each that is late, has those of a bucket read."""

_UNITS_US = {"d": DAY_US, "h": 60 * MINUTE_US, "m": MINUTE_US, "s": 1_000_000}
_LEVEL = re.compile("([1-9][0-9]{0,5})([smhd])")


class LevelError(ValueError):
    """Levels of rollups do not fit each other: name widths of which each is a multiple of the one before."""


def parse_levels(text: str) -> tuple[int, ...]:
    """Return the widths of levels by their names, from the lowest on; they make up whole days.

    Raises :class:`LevelError`.

    >>> parse_levels("10s,1m")
    (10000000, 60000000)
    """
    widths_us = []
    for name in text.split(","):
        found = _LEVEL.fullmatch(name)
        if not found:
            raise LevelError(f"{name!r} is no level: write a number and s, m, h or d, like 15m")
        widths_us.append(int(found[1]) * _UNITS_US[found[2]])
    check_levels(widths_us)
    if DAY_US % widths_us[-1]:
        raise LevelError(f"a day is not a multiple of the highest level, {level_name(widths_us[-1])}")
    if widths_us[0] > WIDEST_LOWEST_US:
        raise LevelError(f"the lowest level, {level_name(widths_us[0])}, is wider than 1h: name one below it")
    return tuple(widths_us)


def level_name(width_us: int) -> str:
    """Return the name of a level: its width in the largest unit that fits.

    >>> level_name(90 * 60_000_000), level_name(DAY_US)
    ('90m', '1d')
    """
    unit, unit_us = next(each for each in _UNITS_US.items() if width_us % each[1] == 0)
    return f"{width_us // unit_us}{unit}"


def check_levels(widths_us: Sequence[int]) -> None:
    """Raise :class:`LevelError` unless each level is made of whole buckets of the one before."""
    if not widths_us or widths_us[0] <= 0:
        raise LevelError("rollups need at least one level, and a width of more than nothing")
    for below_us, width_us in pairwise(widths_us):
        if width_us <= below_us or width_us % below_us:
            raise LevelError(
                f"a level of {width_us / 1e6:g} s is not a multiple of the one before, {below_us / 1e6:g} s"
            )
