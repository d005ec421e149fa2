"""Event times as text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

import numpy as np

from streams.core.batch import Bools, Int64

_DAY_S = 86_400
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)

_DATE_END = 10
_SECONDS_END = 19
_LEAST_CHARS = len("2026-01-31T23:59:59Z")
_MOST_CHARS = len("2026-01-31T23:59:59.123456789+01:00")
_OFFSET_CHARS = 6
_FRACTION_WEIGHTS_US = (100_000, 10_000, 1_000, 100, 10, 1)
_MARKS = ((4, ord("-")), (7, ord("-")), (13, ord(":")), (16, ord(":")))


def parse_us(text: str) -> int:
    """Return the microseconds since 1970-01-01 UTC of an RFC 3339 time; what is finer is cut off.

    A leap second counts as the second that follows it, as in POSIX. Raises ValueError.

    >>> parse_us("1970-01-01T01:00:00.000001999+01:00")
    1
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("not of the form 2026-01-31T23:59:59.123Z (or +01:00 for Z)")
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    fraction, sign, offset_hour, offset_minute = match.group(7, 8, 9, 10)
    if hour > 23 or minute > 59 or second > 60:
        raise ValueError("no such time of day")
    total_s = (date(year, month, day).toordinal() - _EPOCH_DAY) * _DAY_S + hour * 3600 + minute * 60 + second
    if sign:
        if int(offset_hour) > 23 or int(offset_minute) > 59:
            raise ValueError("no such offset from UTC")
        offset_s = int(offset_hour) * 3600 + int(offset_minute) * 60
        total_s += offset_s if sign == "-" else -offset_s
    if second == 60 and total_s % _DAY_S:
        raise ValueError("a leap second ends a day in UTC")
    return total_s * 1_000_000 + int((fraction or "").ljust(6, "0")[:6])


def parse_all_us(texts: Sequence[str]) -> Int64:
    """Return :func:`parse_us` of every text. Raises ValueError when there is one that it refuses.

    >>> parse_all_us(["1970-01-01T00:00:01Z", "1970-01-01T01:00:00.5+01:00"]).tolist()
    [1000000, 500000]
    """
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    _require((sizes >= _LEAST_CHARS) & (sizes <= _MOST_CHARS))
    times_us = np.empty(len(texts), np.int64)
    for size in np.unique(sizes).tolist():
        chosen = np.flatnonzero(sizes == size)
        same_size = [texts[place] for place in chosen.tolist()]
        try:
            times_us[chosen] = _parse_of_one_size_us(same_size, size)
        except ValueError:
            times_us[chosen] = [parse_us(text) for text in same_size]
    return times_us


def _parse_of_one_size_us(texts: list[str], size: int) -> Int64:
    """Parse texts of ``size`` characters and of one form; raise ValueError when one is of another."""
    table = np.frombuffer("".join(texts).encode("ascii"), np.uint8).reshape(len(texts), size)
    character = np.ascontiguousarray(table.T)
    digit = character - np.uint8(ord("0"))

    def pair(place: int) -> Int64:
        tens: Int64 = digit[place].astype(np.int64)
        ones = digit[place + 1]
        _require((tens <= 9) & (ones <= 9))
        number: Int64 = tens * 10 + ones
        return number

    zulu = bool((character[-1] | 0x20 == ord("z")).all())
    end = size - 1 if zulu else size - _OFFSET_CHARS
    if end != _SECONDS_END and not _SECONDS_END + 2 <= end <= _SECONDS_END + 10:
        raise ValueError
    for place, mark in _MARKS:
        _require(character[place] == mark)
    _require((character[_DATE_END] | 0x20 == ord("t")) | (character[_DATE_END] == ord(" ")))
    hour, minute, second = pair(11), pair(14), pair(17)
    _require((hour <= 23) & (minute <= 59) & (second <= 59))
    day = _days(pair(0) * 100 + pair(2), pair(5), pair(8))
    total_s: Int64 = day * _DAY_S + hour * 3600 + minute * 60 + second
    if not zulu:
        sign, hour, minute = character[end], pair(end + 1), pair(end + 4)
        _require(((sign == ord("+")) | (sign == ord("-"))) & (character[end + 3] == ord(":")))
        _require((hour <= 23) & (minute <= 59))
        total_s += np.where(sign == ord("-"), 1, -1) * (hour * 3600 + minute * 60)
    fraction_us = np.zeros(len(texts), np.int64)
    if end > _SECONDS_END:
        _require(character[_SECONDS_END] == ord("."))
        _require(digit[_SECONDS_END + 1 : end] <= 9)
        for weight_us, ones in zip(_FRACTION_WEIGHTS_US, digit[_SECONDS_END + 1 : end], strict=False):
            fraction_us += ones * np.int64(weight_us)
    fraction_us += total_s * 1_000_000
    return fraction_us


def _days(year: Int64, month: Int64, day: Int64) -> Int64:
    """Return the days since 1970-01-01; raise ValueError where there is no such day."""
    _require((year >= 1) & (month >= 1) & (month <= 12))
    months = (year - 1970) * 12 + month - 1
    first, following = (m.astype("M8[M]").astype("M8[D]").astype(np.int64) for m in (months, months + 1))
    _require((day >= 1) & (day <= following - first))
    return first + day - 1


def _require(fulfilled: Bools) -> None:
    if not fulfilled.all():
        raise ValueError
