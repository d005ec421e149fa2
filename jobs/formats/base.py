"""What all parsers of readings have in common."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

from schemas.encode import BAD, DEFAULT_TENANT, GOOD
from schemas.registry import QUALITIES
from streams.core.limits import Limits
from streams.core.names import Names
from streams.core.rejection import Refused
from streams.core.series import SeriesKey
from streams.core.validate import EARLIEST_US, LATEST_US, fault_of_producer, fault_of_series

Attributes = tuple[tuple[str, str], ...]

_INT64 = range(-(1 << 63), 1 << 63)


class BadLine(Exception):  # noqa: N818 - reads as what happened
    """A line does not hold readings; the message is the reason."""


class Reading(NamedTuple):
    """One reading as a file tells it. ``producer`` is None where the file numbers nothing itself."""

    source: str
    metric: str
    time_us: int
    value: float
    tenant: str = DEFAULT_TENANT
    quality: int = GOOD
    revision: int = 0
    attributes: Attributes = ()
    producer: str | None = None
    epoch: int = 0
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the user says about a file: names it does not give, and the unit of its times."""

    source: str | None = None
    metric: str | None = None
    tenant: str = DEFAULT_TENANT
    time_unit: str = "auto"
    attributes: Attributes = ()


class Parser(Protocol):
    """Turns lines of one text form into readings."""

    skipped: Counter[str]
    """What was left out of good lines, by reason."""

    def __call__(self, line: str) -> Sequence[Reading]:
        """Return the readings of a line. Raises :class:`BadLine`."""


def parse_number(text: str) -> float:
    """Return the number that ``text`` is. Raises :class:`BadLine`.

    >>> parse_number(" 1.5e3 ")
    1500.0
    """
    try:
        if "_" in text:
            raise ValueError
        return float(text)
    except ValueError:
        raise BadLine(f"value {shorten(text)!r} is not a number") from None


def parse_quality(name: str) -> int:
    """Return the number of a quality. Raises :class:`BadLine`.

    >>> parse_quality("uncertain")
    1
    """
    if name not in QUALITIES:
        raise BadLine(f"quality {shorten(name)!r} is not one of {', '.join(QUALITIES)}")
    return QUALITIES.index(name)


def check(reading: Reading) -> Reading:
    """Return ``reading`` when a worker would accept it too. Raises :class:`BadLine` otherwise."""
    if fault := _fault_of_series(
        SeriesKey(reading.tenant, reading.source, reading.metric, reading.attributes)
    ):
        raise BadLine(fault)
    if reading.producer is None and (reading.epoch or reading.sequence is not None):
        raise BadLine("epoch and sequence need a producer")
    if reading.producer is not None and (fault := fault_of_producer_id(reading.producer)):
        raise BadLine(fault)
    if not math.isfinite(reading.value) and reading.quality != BAD:
        raise BadLine(f"value {reading.value} is not finite and its quality is not bad")
    if not EARLIEST_US <= reading.time_us < LATEST_US:
        raise BadLine(f"time {reading.time_us} µs is not within 2000 and 2100; is its unit right?")
    if reading.epoch not in _INT64 or (reading.sequence or 0) not in _INT64:
        raise BadLine("epoch and sequence must fit 64 bits")
    if not 0 <= reading.revision < 1 << 31:
        raise BadLine("revision must lie within 0 and 2147483647")
    return reading


@lru_cache(maxsize=1024)
def fault_of_producer_id(name: str) -> str | None:
    """Return why a worker would refuse a producer's name, or None.

    >>> fault_of_producer_id("plc-7") is None
    True
    """
    if fault := fault_of_producer(name):
        return fault[1]
    try:
        Names(Limits()).producer_index(name)
    except Refused as refused:
        return str(refused)
    return None


@lru_cache(maxsize=65_536)
def _fault_of_series(key: SeriesKey) -> str | None:
    if fault := fault_of_series(key):
        return fault[1]
    try:
        Names(Limits()).series_index(*key)
    except Refused as refused:
        return str(refused)
    return None


def shorten(text: str, chars: int = 40) -> str:
    """Return ``text`` cut to what fits a message."""
    return text if len(text) <= chars else text[: chars - 1] + "…"
