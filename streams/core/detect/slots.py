"""Which place in the arrays of a state a series has: for as many series as there is room for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streams.core.batch import NEVER_US, Int64
from streams.core.detect.memory import Rows

_NONE = -1
_SMALLEST = 1024


class Placed(NamedTuple):
    """Where some series are, and which places were another's or nobody's before: to be cleared."""

    rows: Rows
    new: Rows


class Slots:
    """Gives each series a place, for the database's series ids, which begin at 0 and leave few out.

    Beyond ``most`` the series that were heard of least recently lose theirs: what was learnt of them is
    forgotten, and they begin anew should they come back. ``evicted`` counts them.

    >>> slots = Slots(most=2)
    >>> slots.place(np.array([7, 9]), time_us=5).rows.tolist(), slots.place(np.array([8]), 6).rows.tolist()
    ([0, 1], [0])
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.evicted = 0
        self._slot_of = np.empty(0, np.int32)
        self._series_of = np.empty(0, np.int64)
        self._heard_us = np.empty(0, np.int64)
        self._used = 0

    def __len__(self) -> int:
        return self._used

    @property
    def capacity(self) -> int:
        """For how many series there are places already; grows by doubling."""
        return len(self._series_of)

    def series_at(self, rows: Rows) -> Int64:
        """Return which series have some places."""
        series: Int64 = self._series_of[rows]
        return series

    def place(self, series: Int64, time_us: int) -> Placed:
        """Return the places of some series, none twice and no more than ``most``, heard of at a time."""
        self._know(int(series.max(initial=0)))
        slots = self._slot_of[series].astype(np.intp)
        without = slots == _NONE
        known = slots[~without]
        new = self._free(int(without.sum()), known)
        slots[without] = new
        self._slot_of[series[without]] = new
        self._series_of[new] = series[without]
        self._heard_us[new] = time_us
        self._heard_us[known] = np.maximum(self._heard_us[known], time_us)
        return Placed(slots, new)

    def _free(self, count: int, kept: Rows) -> Rows:
        """Return places for so many: unused ones, then those heard of least recently, but for some."""
        unused = np.arange(self._used, min(self._used + count, self.most))
        self._used += len(unused)
        self._grow(self._used)
        lacking = count - len(unused)
        if not lacking:
            return unused
        heard_us = self._heard_us[: self._used].copy()
        heard_us[unused] = heard_us[kept] = np.iinfo(np.int64).max
        taken = np.argsort(heard_us, kind="stable")[:lacking]
        self._slot_of[self._series_of[taken]] = _NONE
        self.evicted += lacking
        return np.concatenate([unused, taken])

    def _know(self, series: int) -> None:
        if series >= len(self._slot_of):
            more = max(series + 1, 2 * len(self._slot_of), _SMALLEST) - len(self._slot_of)
            self._slot_of = np.append(self._slot_of, np.full(more, _NONE, np.int32))

    def _grow(self, count: int) -> None:
        if count > self.capacity:
            more = min(max(count, 2 * self.capacity, _SMALLEST), self.most) - self.capacity
            self._series_of = np.append(self._series_of, np.zeros(more, np.int64))
            self._heard_us = np.append(self._heard_us, np.full(more, NEVER_US))
