"""Reads the time stamps that people write."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from jobs.formats.base import BadLine, shorten

UNITS_PER_S: dict[str, int] = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
"""Units that a number can be in."""

# Each bound is the year 5138 in its unit and 1973 in the next finer one.
_MAGNITUDES = ((10**11, "s"), (10**14, "ms"), (10**17, "us"))

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def time_parser(unit: str) -> Callable[[str], int]:
    """Return a function from text to microseconds since 1970-01-01 UTC.

    ``unit`` is that of plain numbers: s, ms, us, ns, or auto, which goes by magnitude (right from 1973
    to 5138). Anything else is read as RFC 3339 or ISO 8601; without an offset it is UTC. The function
    raises :class:`BadLine`.

    >>> parse = time_parser("auto")
    >>> parse("2024-05-01 12:00:00") == parse("2024-05-01T14:00:00+02:00") == parse("1714564800")
    True
    >>> parse("1714564800250")
    1714564800250000
    """

    def parse(text: str) -> int:
        text = text.strip()
        try:
            number = int(text)
        except ValueError:
            return _parse_words(text, unit)
        return _scale(number, _by_magnitude(number) if unit == "auto" else unit)

    return parse


def _parse_words(text: str, unit: str) -> int:
    try:
        number = float(text)
    except ValueError:
        return _parse_date(text)
    try:
        return round(number * 1_000_000 / UNITS_PER_S[_by_magnitude(number) if unit == "auto" else unit])
    except (ValueError, OverflowError):
        raise BadLine(f"time {shorten(text)!r} is not a time") from None


def _parse_date(text: str) -> int:
    try:
        date = datetime.fromisoformat(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return (date - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        raise BadLine(f"time {shorten(text)!r} is neither a date (RFC 3339) nor a number") from None


def _by_magnitude(number: float) -> str:
    return next((unit for bound, unit in _MAGNITUDES if abs(number) < bound), "ns")


def _scale(number: int, unit: str) -> int:
    return number * 1_000_000 // UNITS_PER_S[unit]
