"""A stretch of readings of some series, and which of them have to be looked at one by one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streams.core.batch import Bools, Float64, Int64
from streams.core.detect.memory import Rows
from streams.core.detect.turns import Places


class Stretch(NamedTuple):
    """Readings that are sorted by series, then time, and of each series later than all before.

    ``rows`` has the place of each series in what is remembered, and ``starts`` where its readings
    begin; ``of`` has which of the series each reading belongs to.

    >>> stretch = Stretch.of_rows(np.array([4, 4, 9]), np.array([1, 2, 1]), np.array([5.0, 6.0, 7.0]))
    >>> stretch.rows.tolist(), stretch.ends.tolist(), stretch.before(np.array([3.0, np.nan])).tolist()
    ([4, 9], [1, 2], [3.0, 5.0, nan])
    """

    rows: Rows
    starts: Places
    of: Places
    time_us: Int64
    value: Float64

    @staticmethod
    def of_rows(rows: Rows, time_us: Int64, value: Float64) -> Stretch:
        """Return readings whose series have these places, one a reading."""
        begins = np.append(True, rows[1:] != rows[:-1])[: len(rows)]
        starts = np.flatnonzero(begins)
        return Stretch(rows[starts], starts, np.cumsum(begins) - 1, time_us, value)

    @property
    def ends(self) -> Places:
        """Where the last reading of each series is."""
        ends: Places = np.append(self.starts, len(self.of))[1:] - 1
        return ends

    @property
    def counts(self) -> Int64:
        """How many readings each series has."""
        return np.diff(self.starts, append=len(self.of))

    def before(self, first: Float64) -> Float64:
        """Return the value before each; ``first`` has those of before the stretch, one a series."""
        before = np.roll(self.value, 1)
        before[self.starts] = first
        return before

    def before_us(self, first_us: Int64) -> Int64:
        """Return the time of the reading before each, as :meth:`before`."""
        before_us = np.roll(self.time_us, 1)
        before_us[self.starts] = first_us
        return before_us

    def any(self, mask: Bools) -> Bools:
        """Tell of which series there is a reading in ``mask``."""
        if not mask.any():
            return np.zeros(len(self.rows), bool)
        found: Bools = np.logical_or.reduceat(mask, self.starts)
        return found

    def chosen(self, series: Bools) -> Places:
        """Return which readings belong to some of the series."""
        return np.flatnonzero(series[self.of])

    def take(self, readings: Places) -> Stretch:
        """Return some of the readings."""
        rows = self.rows[self.of[readings]]
        return Stretch.of_rows(rows, self.time_us[readings], self.value[readings])
