"""Watches series for anomalies: readings in order of time in, findings and episodes out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streams.core.batch import NEVER_US, Bools, Int64, Points
from streams.core.detect import lookout_kernel
from streams.core.detect.episodes import Episode, Episodes
from streams.core.detect.likelihood import Findings, Likelihood
from streams.core.detect.lookout_kernel import judge
from streams.core.detect.memory import Field, Parts, Rows, SeriesState, Snapshot
from streams.core.detect.slots import Slots
from streams.core.detect.turns import begins, turns

BAD = 2
"""Readings of this quality are not looked at."""


class Seen(NamedTuple):
    """What came of some readings: what is thought of each, where an episode began, and which are over."""

    findings: Findings
    began: Bools
    ended: list[Episode]


class Lookout:
    """Judges readings of many series, and tells of their episodes.

    Bad readings, those that are no finite number, and those of a time that was not after their
    predecessor's have no surprise and teach nothing. It does not matter how readings are cut into
    updates. ``most_series``: of more, those that were heard of least recently are forgotten
    (``evicted`` counts them), and their episodes are over. Without ``native`` they are judged in NumPy,
    as where no kernel was built; it makes no difference but to the time it takes.

    >>> lookout = Lookout(most_series=1)
    >>> time_us, value = np.arange(100) * 60_000_000, np.append(np.sin(np.arange(99.0)), 9.0)
    >>> points = Points(np.zeros(100, np.int32), time_us, value, np.zeros(100, np.int16))
    >>> np.flatnonzero(lookout.update(points).began).tolist(), lookout.open()[0].direction
    ([99], 1)
    """

    def __init__(self, most_series: int, native: bool = True) -> None:
        self._library = lookout_kernel.LOADED.library if native else None
        self._slots = Slots(most_series)
        self._order = SeriesState({"last_us": Field((), np.int64, NEVER_US)})
        self._likelihood = Likelihood()
        self._episodes = Episodes()
        self._memory = Parts(
            {"order": self._order, "likelihood": self._likelihood, "episodes": self._episodes}
        )

    @property
    def bytes_per_series(self) -> int:
        """What a series costs in memory, and in a snapshot."""
        return self._memory.bytes_per_series

    @property
    def evicted(self) -> int:
        """How many series were forgotten for want of room."""
        return self._slots.evicted

    def open(self) -> list[Episode]:
        """Return all episodes that are not over."""
        return self._episodes.open()

    def snapshot(self, series: Int64) -> Snapshot:
        """Return all that is remembered of some series, in their order."""
        rows, _ = self._place(series, NEVER_US)
        return self._memory.snapshot(rows)

    def restore(self, series: Int64, snapshot: Snapshot) -> None:
        """Go on where a snapshot of these series was taken."""
        rows, _ = self._place(series, NEVER_US)
        self._memory.restore(rows, snapshot)

    def update(self, points: Points) -> Seen:
        """Judge readings that are sorted by series, then time. Episodes are in order of series and start."""
        count = len(points.time_us)
        seen = Seen(Findings.nothing(count), np.zeros(count, bool), [])
        looked_at = np.flatnonzero(np.isfinite(points.value) & (points.quality != BAD))
        begin = begins(points.series_id[looked_at])
        for first in range(0, len(begin) - 1, self._slots.most):
            self._judge(points, looked_at, begin[first : first + self._slots.most + 1], seen)
        seen.ended.sort()
        return seen

    def _judge(self, points: Points, looked_at: Rows, begin: Rows, seen: Seen) -> None:
        """Judge the readings of series for which there is room."""
        looked_at, begin = looked_at[begin[0] : begin[-1]], begin - begin[0]
        series = points.series_id[looked_at[begin[:-1]]].astype(np.int64)
        rows, lost = self._place(series, int(points.time_us[looked_at].max()))
        seen.ended.extend(lost)
        if self._library is None:
            self._in_turns(points, looked_at, rows, seen)
        else:
            memory = self._memory.arrays()
            over = judge(self._library, memory, points, looked_at, rows, begin, seen.findings, seen.began)
            seen.ended.extend(over)

    def _in_turns(self, points: Points, looked_at: Rows, rows: Rows, seen: Seen) -> None:
        """Judge as the native kernel does, the next reading of all series in each step."""
        for of_series, places in turns(points.series_id[looked_at]):
            readings, at = looked_at[places], rows[of_series]
            later = points.time_us[readings] > self._order["last_us"][at]
            if not later.all():
                readings, at = readings[later], at[later]
            time_us = points.time_us[readings]
            self._order["last_us"][at] = time_us
            found = self._likelihood.update(at, time_us, points.value[readings])
            seen.findings.put(readings, found)
            told = self._episodes.update(
                at,
                points.series_id[readings].astype(np.int64),
                time_us,
                found.surprise,
                found.reason,
                found.statistic,
            )
            seen.began[readings] = told.began
            seen.ended.extend(told.ended)

    def _place(self, series: Int64, time_us: int) -> tuple[Rows, list[Episode]]:
        """Return the places of some series, and the episodes of those that lose theirs to them."""
        placed = self._slots.place(series, time_us)
        self._memory.grow(self._slots.capacity)
        lost = self._episodes.open_of(placed.new)
        self._memory.clear(placed.new)
        return placed.rows, lost
