"""Which (series, event time) pairs were stored recently, with their values: exact, in bounded memory.

A pair is packed into 64 bits, whole and without hashing: 40 bits of microseconds since a base (12
days) above 24 bits of series id. What does not fit is not covered, and the database decides.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.core.batch import Bools, Float64, Int16, Int64

UInt64 = npt.NDArray[np.uint64]

SERIES_BITS = 24
TIME_BITS = 64 - SERIES_BITS
BYTES_PER_IDENTITY = 18
"""Packed identity 8, value 8, quality 2."""

SEALED_ROWS = 65_536
FIRST_KEY, LAST_KEY = np.uint64(0), np.uint64(2**64 - 1)


class Stored(NamedTuple):
    """What is stored of each identity asked for; ``value`` and ``quality`` count where ``found``."""

    found: Bools
    value: Float64
    quality: Int16

    @staticmethod
    def nothing(count: int) -> Stored:
        """Return the answer that none of ``count`` identities is stored."""
        return Stored(np.zeros(count, bool), np.zeros(count), np.zeros(count, np.int16))


@dataclass(slots=True)
class _Run:
    """Identities that arrived one after the other; sorted when somebody first looks into it."""

    keys: UInt64
    value: Float64
    quality: Int16
    low: np.uint64
    high: np.uint64
    is_sorted: bool = False

    @staticmethod
    def of(keys: UInt64, value: Float64, quality: Int16) -> _Run:
        low, high = (keys.min(), keys.max()) if len(keys) else (LAST_KEY, FIRST_KEY)
        return _Run(keys, value, quality, low, high)

    @staticmethod
    def none() -> _Run:
        return _Run.of(np.empty(0, np.uint64), np.empty(0), np.empty(0, np.int16))

    def above(self, key: np.uint64) -> _Run:
        later = self.keys > key
        return _Run.of(self.keys[later], self.value[later], self.quality[later])

    def rebased(self, step: int) -> _Run:
        kept = self.keys >= np.uint64(step)
        return _Run.of(self.keys[kept] - np.uint64(step), self.value[kept], self.quality[kept])

    def joined_with(self, *others: _Run) -> _Run:
        runs = (self, *others)
        return _Run.of(
            np.concatenate([run.keys for run in runs]),
            np.concatenate([run.value for run in runs]),
            np.concatenate([run.quality for run in runs]),
        )

    def sort(self) -> None:
        if not self.is_sorted:
            order = np.argsort(self.keys, kind="stable")
            self.keys, self.value, self.quality = self.keys[order], self.value[order], self.quality[order]
            self.is_sorted = True


class RecentIdentities:
    """Every identity stored with an event time of ``horizon_us`` or later, up to ``max_bytes``.

    Over budget the oldest to arrive are forgotten, and the horizon moves past the latest of them:
    what it covers stays complete. Identities are of one partition, whose only writer we are.

    >>> recent = RecentIdentities(max_bytes=1_000_000, horizon_us=0)
    >>> series, time_us = np.array([7]), np.array([1_000])
    >>> recent.add(series, time_us, np.array([1.5]), np.array([0], np.int16))
    >>> recent.find(series, time_us).value.tolist()
    [1.5]
    """

    def __init__(self, max_bytes: int, horizon_us: int) -> None:
        self.horizon_us = horizon_us
        self._base_us = horizon_us
        self.limit(max_bytes)
        self._sealed: deque[_Run] = deque()
        self._open: list[_Run] = []
        self._ahead = _Run.none()

    def limit(self, max_bytes: int) -> None:
        """Set the budget; what is over it is forgotten with the next addition."""
        self._max_rows = max(max_bytes // BYTES_PER_IDENTITY, 2 * SEALED_ROWS)

    def __len__(self) -> int:
        return sum(len(run.keys) for run in self._runs())

    def _runs(self) -> tuple[_Run, ...]:
        return (self._ahead, *self._sealed, *self._open)

    def covers(self, series_id: Int64, time_us: Int64) -> Bools:
        """Tell for which identities :meth:`find` knows whether they are stored."""
        fits: Bools = (series_id >> SERIES_BITS) == 0
        return fits & (time_us >= self.horizon_us) & (time_us - self._base_us < 1 << TIME_BITS)

    def find(self, series_id: Int64, time_us: Int64) -> Stored:
        """Look identities up, all of which must be covered."""
        stored = Stored.nothing(len(series_id))
        keys = self._pack(series_id, time_us)
        self._join_open()
        for run in self._runs():
            within = np.flatnonzero((keys >= run.low) & (keys <= run.high))
            if not len(within):
                continue
            run.sort()
            place = np.minimum(np.searchsorted(run.keys, keys[within]), len(run.keys) - 1)
            hit = run.keys[place] == keys[within]
            rows, place = within[hit], place[hit]
            stored.found[rows] = True
            stored.value[rows] = run.value[place]
            stored.quality[rows] = run.quality[place]
        return stored

    def add(self, series_id: Int64, time_us: Int64, value: Float64, quality: Int16) -> None:
        """Remember identities that were not stored before; those that are not covered are left out."""
        if len(time_us):
            self._make_room_for(int(time_us.max()))
        covered = self.covers(series_id, time_us)
        if not covered.all():
            series_id, time_us = series_id[covered], time_us[covered]
            value, quality = value[covered], quality[covered]
        if not len(time_us):
            return
        self._open.append(_Run.of(self._pack(series_id, time_us), value, quality))
        if sum(len(run.keys) for run in self._open) >= SEALED_ROWS:
            self._join_open()
            self._sealed.extend(self._open)
            self._open = []
        while self._sealed and len(self) > self._max_rows:
            self._forget_oldest()

    def correct(self, series_id: int, time_us: int, value: float, quality: int) -> None:
        """Replace the value of a stored identity, where it is remembered."""
        series, time = np.array([series_id]), np.array([time_us])
        if not self.covers(series, time)[0]:
            return
        key = self._pack(series, time)[0]
        self._join_open()
        for run in self._runs():
            if run.low <= key <= run.high:
                run.sort()
                place = int(np.searchsorted(run.keys, key))
                if place < len(run.keys) and run.keys[place] == key:
                    run.value[place], run.quality[place] = value, quality

    def _pack(self, series_id: Int64, time_us: Int64) -> UInt64:
        since = (time_us - self._base_us).astype(np.uint64)
        return (since << np.uint64(SERIES_BITS)) | series_id.astype(np.uint64)

    def _join_open(self) -> None:
        if len(self._open) > 1:
            self._open = [self._open[0].joined_with(*self._open[1:])]

    def _forget_oldest(self) -> None:
        """Forget the run that arrived first, but for its latest hundredth.

        That is kept apart, so that a few devices whose clocks run ahead do not take the horizon, and
        with it everybody else's memory, ahead with them.
        """
        run = self._sealed.popleft()
        place = len(run.keys) - 1 - len(run.keys) // 100
        cut = np.partition(run.keys, place)[place]
        self._ahead = self._ahead.joined_with(run.above(cut)).above(cut)
        if len(self._ahead.keys) > self._max_rows // 4:
            cut = self._ahead.high
            self._ahead = _Run.none()
        latest_us = self._base_us + int(cut >> np.uint64(SERIES_BITS))
        self.horizon_us = max(self.horizon_us, latest_us + 1)

    def _make_room_for(self, time_us: int) -> None:
        """Move the base up when a time does not fit above it; what falls below is not covered any more."""
        if time_us - self._base_us < 1 << TIME_BITS:
            return
        base_us = time_us - (1 << (TIME_BITS - 1))
        step_us = base_us - self._base_us
        runs = (
            [run.rebased(step_us << SERIES_BITS) for run in self._runs()] if step_us >> TIME_BITS == 0 else []
        )
        self._sealed, self._open, self._ahead = deque(run for run in runs if len(run.keys)), [], _Run.none()
        self._base_us = base_us
        self.horizon_us = max(self.horizon_us, base_us)
