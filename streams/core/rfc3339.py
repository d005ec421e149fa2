"""Event times as text."""

from __future__ import annotations

import re
from datetime import date

_DAY_S = 86_400
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)


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
