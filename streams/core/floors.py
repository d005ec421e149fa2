"""From when on the readings of series are kept, where that is later than for all of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streams.core.batch import NEVER_US, Bools, Int32, Int64


class Floors(NamedTuple):
    """The earliest event time of each ``series_id`` that is kept; series are in order."""

    series_id: Int64
    kept_from_us: Int64

    def are_above(self, series_id: Int32, time_us: Int64) -> Bools:
        """Tell of which series these times are not kept any more.

        >>> floors = Floors(np.array([7]), np.array([100]))
        >>> floors.are_above(np.array([6, 7, 7]), np.array([99, 99, 100])).tolist()
        [False, True, False]
        """
        above = np.zeros(len(time_us), np.bool_)
        old = np.flatnonzero(time_us < self.kept_from_us.max(initial=NEVER_US))
        if len(old):
            place = np.minimum(np.searchsorted(self.series_id, series_id[old]), len(self.series_id) - 1)
            above[old] = (self.series_id[place] == series_id[old]) & (time_us[old] < self.kept_from_us[place])
        return above


NO_FLOORS = Floors(np.empty(0, np.int64), np.empty(0, np.int64))
