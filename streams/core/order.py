"""Each series in order of event time: holds readings back until the watermark has passed them.

What has to see a series in order gets it from here. A reading that the watermark has passed before it
came is late: it is stored, flagged and counted, and its bucket is marked dirty, but it is not released.
The buffer is a cache: what is not released is stored, and read back where memory does not hold it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from streams.core.batch import NEVER_US, Int32, Int64, Points
from streams.core.deduplicate import series_time_order
from streams.core.validate import EARLIEST_US

BUCKET_US = 60_000_000
"""What is recomputed as a whole when a late reading falls into it."""

LATE_BY_S = (10, 60, 600, 3600, 86_400)
"""Late readings are counted by how late they are: up to so many seconds, or more."""

BYTES_PER_ROW = 22
"""Series 4, time 8, value 8, quality 2."""

FIRST_WINDOW_US = 8_000_000
MAX_RUNS = 64
MIN_ROWS = 10_000

_FOREVER_US = np.iinfo(np.int64).max
_BUCKET_BITS = 32


class Backlog(Protocol):
    """What the database holds of the partition's series, for what memory does not hold back."""

    def unreleased(self, from_us: int, to_us: int, most: int) -> Points:
        """Return readings of ``[from_us, to_us)`` that were not late, in order of time; the first ``most``.

        Each as the last of its versions that was not late.
        """


class Release(NamedTuple):
    """What the watermark lets go: ``points``, by series, then time; all before ``to_us`` is released."""

    points: Points
    to_us: int
    kept: tuple[_Run, ...]
    cut_us: int


class ReorderBuffer:
    """Holds the readings of one partition back that the watermark has not passed.

    :meth:`release` changes nothing; :meth:`apply` takes it in. ``to_us`` is how far
    readings are released already. Those of ``[to_us, cut)`` are in memory; those beyond the cut are left
    in the database, because there is no room for them or a former owner stored them, and are read back
    when the watermark gets there.
    """

    def __init__(self, max_bytes: int, to_us: int = NEVER_US) -> None:
        self.to_us = to_us
        self.limit(max_bytes)
        self._runs: tuple[_Run, ...] = ()
        self._cut_us = to_us

    def __len__(self) -> int:
        return sum(len(run.points.time_us) for run in self._runs)

    def limit(self, max_bytes: int) -> None:
        """Set the budget; what is over it is forgotten with the next release."""
        self._max_rows = max(max_bytes // BYTES_PER_ROW, MIN_ROWS)

    def release(
        self, arrived: Sequence[Points], watermark_us: int, newest_us: int, backlog: Backlog
    ) -> Release:
        """Return what the watermark lets go after some more readings ``arrived``, none of them late.

        Of one identity the last to arrive counts. ``newest_us`` is the highest event time stored before.
        """
        runs, cut_us = list(self._runs), self._cut_us
        if newest_us == NEVER_US or newest_us < cut_us:
            cut_us = _FOREVER_US
        elif watermark_us > cut_us:
            read, cut_us = self._read_back(cut_us, newest_us, backlog)
            runs += _runs(read)
        runs += [part for run in _runs(arrived) for part in run.before(cut_us)]
        to_us = max(self.to_us, min(watermark_us, cut_us))
        gone = [part for run in runs for part in run.before(to_us)]
        kept = [part for run in runs for part in run.since(to_us)]
        if len(kept) > MAX_RUNS:
            kept = _runs([_joined(kept)])
        if sum(len(run.points.time_us) for run in kept) > self._max_rows:
            kept, cut_us = self._without_highest(_joined(kept))
        return Release(_in_order(_joined(gone)), to_us, tuple(kept), cut_us)

    def apply(self, release: Release) -> None:
        """Take in what was released."""
        self._runs, self._cut_us, self.to_us = release.kept, release.cut_us, release.to_us

    def _read_back(self, cut_us: int, newest_us: int, backlog: Backlog) -> tuple[list[Points], int]:
        """Return what is stored beyond the cut, as far as there is room for it, and the new cut."""
        read: list[Points] = []
        room, window_us = self._max_rows // 2, FIRST_WINDOW_US
        while cut_us <= newest_us:
            from_us = max(cut_us, EARLIEST_US)
            points = backlog.unreleased(from_us, from_us + window_us, room)
            if len(points.time_us) < room:
                read.append(points)
                room -= len(points.time_us)
                cut_us, window_us = from_us + window_us, 2 * window_us
                continue
            last_us = int(points.time_us[-1])  # there may be more of this moment
            if last_us > points.time_us[0]:
                read.append(points.take(points.time_us < last_us))
                return read, last_us
            room *= 2
        return read, _FOREVER_US

    def _without_highest(self, points: Points) -> tuple[list[_Run], int]:
        """Return what is left when half of the room is freed, and the new cut."""
        cut_us = int(np.partition(points.time_us, self._max_rows // 2)[self._max_rows // 2])
        return _runs([points.take(points.time_us < cut_us)]), cut_us


class _Run(NamedTuple):
    """Readings that arrived together, at least one, and the lowest and highest of their times."""

    points: Points
    low_us: int
    high_us: int

    def before(self, time_us: int) -> list[_Run]:
        """Return the part before a time, if there is one."""
        if self.high_us < time_us:
            return [self]
        return [] if self.low_us >= time_us else _runs([self.points.take(self.points.time_us < time_us)])

    def since(self, time_us: int) -> list[_Run]:
        """Return the part from a time on, if there is one."""
        if self.low_us >= time_us:
            return [self]
        return [] if self.high_us < time_us else _runs([self.points.take(self.points.time_us >= time_us)])


def _runs(parts: Sequence[Points]) -> list[_Run]:
    return [
        _Run(points, int(points.time_us.min()), int(points.time_us.max()))
        for points in parts
        if len(points.time_us)
    ]


def _joined(runs: Sequence[_Run]) -> Points:
    return Points.concat([run.points for run in runs])


def _in_order(points: Points) -> Points:
    """Return readings by series, then time; of several of one identity the last that arrived."""
    order = series_time_order(points.series_id, points.time_us)
    points = points.take(order)
    repeats = (points.series_id[1:] == points.series_id[:-1]) & (points.time_us[1:] == points.time_us[:-1])
    return points.take(np.append(~repeats, True)) if repeats.any() else points


class Dirty(NamedTuple):
    """Buckets to recompute, each once: a series, and where the bucket begins."""

    series_id: Int32
    bucket_us: Int64


def dirty_buckets(series_id: Int32, time_us: Int64) -> Dirty:
    """Return the buckets that readings fall into.

    >>> dirty_buckets(np.array([7, 7, 7]), np.array([BUCKET_US + 1, BUCKET_US + 2, 3])).bucket_us.tolist()
    [0, 60000000]
    """
    packed = np.unique((series_id.astype(np.int64) << _BUCKET_BITS) | (time_us // BUCKET_US))
    buckets = packed & ((1 << _BUCKET_BITS) - 1)
    return Dirty((packed >> _BUCKET_BITS).astype(np.int32), buckets * BUCKET_US)


def count_by_lateness(late_us: Int64) -> tuple[int, ...]:
    """Return how many of some lags are within each of ``LATE_BY_S``, and how many beyond.

    >>> count_by_lateness(np.array([1, 10_000_000, 10_000_001]))
    (2, 1, 0, 0, 0, 0)
    """
    place = np.searchsorted(np.array(LATE_BY_S) * 1_000_000, late_us)
    return tuple(np.bincount(place, minlength=len(LATE_BY_S) + 1).tolist())
