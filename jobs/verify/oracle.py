"""What must become of the readings of one partition, by the rules alone: dictionaries, one after the other.

It shares no code with the stages that it checks. Whatever is clever there is plain here.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from jobs.verify.lateness import MINUTE_US, LogTime
from streams.core.watermark import Patience

LATE_BY_S = (10.0, 60.0, 600.0, 3600.0, 86_400.0, math.inf)
"""Late readings are counted by how late they are: up to so many seconds, and more than the number before."""

NO_NUMBER = -1
"""``sequence`` of a reading without a number."""


class Fate(StrEnum):
    """What becomes of a reading, by the names of the columns of table ``progress``."""

    WRITTEN = "written"
    DUPLICATE = "duplicates"
    CORRECTION = "corrections"
    DEAD_LETTER = "dead_letters"
    FORWARDED = "forwarded"


class Reading(NamedTuple):
    """One reading of the log. ``value_bits`` are those of the float64, so that NaN equals itself.

    ``producer`` is (tenant, name), the name empty where it has none; ``time_us`` is in microseconds since
    1970, ``stamp_ms`` the Kafka timestamp of its record in milliseconds.
    """

    series_id: int
    time_us: int
    value_bits: int
    quality: int
    revision: int
    producer: tuple[str, str]
    epoch: int
    sequence: int
    stamp_ms: int


class Row(NamedTuple):
    """A reading as table ``readings`` holds it."""

    series_id: int
    time_us: int
    value_bits: int
    quality: int
    late: bool = False


class Version(NamedTuple):
    """What is stored of a reading."""

    value_bits: int
    quality: int
    revision: int
    late: bool


class Numbers:
    """The sequence numbers seen of a producer's latest epoch, as runs; all of them, however many gaps."""

    def __init__(self) -> None:
        self._epoch: int | None = None
        self._starts: list[int] = []
        self._ends: list[int] = []

    def repeated(self, epoch: int, number: int) -> bool:
        """Tell whether ``number`` was seen before, and see it. An earlier epoch tells nothing.

        >>> seen = Numbers()
        >>> [seen.repeated(epoch, number) for epoch, number in [(1, 7), (1, 7), (2, 7), (1, 7)]]
        [False, True, False, False]
        """
        if self._epoch is None or epoch > self._epoch:
            self._epoch, self._starts, self._ends = epoch, [], []
        if epoch < self._epoch:
            return False
        place = bisect_right(self._starts, number)
        if place and number < self._ends[place - 1]:
            return True
        if place and number == self._ends[place - 1]:
            self._ends[place - 1] += 1
        else:
            self._starts.insert(place, number)
            self._ends.insert(place, number + 1)
        return False


class Oracle:
    """Judges the readings of one partition in log order.

    It remembers every reading that is stored: about 250 bytes each, so four million readings of one
    partition take 1 GB, and one oracle is needed at a time. ``conflicts_known``: the log has lost its
    beginning, so what a reading conflicts with may not be known here; then none is a conflict but
    those of which it is said. ``patience`` is what the workers have. ``late_by`` counts late readings by
    how late they are at most, in seconds, and ``belated`` are series and times of these and of late
    corrections.
    """

    def __init__(self, patience: Patience | None = None, *, conflicts_known: bool = False) -> None:
        self.counts: Counter[Fate] = Counter()
        self.late_by: Counter[float] = Counter()
        self.belated: dict[int, set[int]] = {}
        self._time = LogTime(patience or Patience())
        self._conflicts_known = conflicts_known
        self._stored: dict[int, dict[int, Version]] = {}
        self._before_late: dict[tuple[int, int], Version] = {}
        self._numbers: dict[tuple[str, str], Numbers] = {}

    def judge(self, reading: Reading, said: Fate | None = None) -> Fate:
        """Return what becomes of the next reading.

        ``said`` is what is decided elsewhere: that it is forwarded, or refused for a reason which the
        log does not tell. Its number counts all the same.
        """
        late_us = self._time.see(reading.producer, reading.stamp_ms, reading.time_us)
        repeated = self._is_repeated(reading)
        fate = said or self._judge(reading, repeated and not self._conflicts_known, late_us > 0)
        self.counts[fate] += 1
        if late_us > 0 and fate in (Fate.WRITTEN, Fate.CORRECTION):
            self.belated.setdefault(reading.series_id, set()).add(reading.time_us)
            if fate is Fate.WRITTEN:
                self.late_by[next(limit_s for limit_s in LATE_BY_S if late_us <= limit_s * 1_000_000)] += 1
        return fate

    @property
    def dirty(self) -> set[tuple[int, int]]:
        """Series and begins of the minutes that something late fell into."""
        return {
            (series_id, time_us // MINUTE_US * MINUTE_US)
            for series_id, times_us in self.belated.items()
            for time_us in times_us
        }

    @property
    def watermark_us(self) -> int | None:
        """How far event time has come, None before it is known."""
        return self._time.watermark_us

    def released(self, to_us: int) -> Iterator[Row]:
        """Yield what must have been released when all before ``to_us`` is, by series, as it was then."""
        for row in self.stored():
            if row.time_us < to_us and not row.late:
                version = self._before_late.get(row[:2])
                yield row if version is None else Row(*row[:2], version.value_bits, version.quality)

    def stored(self) -> Iterator[Row]:
        """Yield the readings that must be stored, by series."""
        for series_id in sorted(self._stored):
            for time_us, version in self._stored[series_id].items():
                yield Row(series_id, time_us, version.value_bits, version.quality, version.late)

    def _is_repeated(self, reading: Reading) -> bool:
        if not reading.producer[1] or reading.sequence == NO_NUMBER:
            return False
        numbers = self._numbers.get(reading.producer)
        if numbers is None:
            numbers = self._numbers[reading.producer] = Numbers()
        return numbers.repeated(reading.epoch, reading.sequence)

    def _judge(self, reading: Reading, repeated: bool, late: bool) -> Fate:
        series = self._stored.setdefault(reading.series_id, {})
        current = series.get(reading.time_us)
        if current is None:
            if repeated:
                return Fate.DEAD_LETTER
            series[reading.time_us] = Version(reading.value_bits, reading.quality, reading.revision, late)
            return Fate.WRITTEN
        version = Version(reading.value_bits, reading.quality, reading.revision, current.late)
        if current[:2] == version[:2]:
            if version.revision > current.revision:
                series[reading.time_us] = version
            return Fate.DUPLICATE
        if version.revision > current.revision or self._conflicts_known:
            if late:
                self._before_late.setdefault((reading.series_id, reading.time_us), current)
            series[reading.time_us] = version
            return Fate.CORRECTION
        return Fate.DEAD_LETTER
