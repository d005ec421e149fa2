"""Rates: what a counter rose by in a second, from readings of what it stood at."""

from __future__ import annotations

import numpy as np

from streams.core.batch import NEVER_US, Float64
from streams.core.detect.memory import Field, Parts, SeriesState
from streams.core.detect.stretch import Stretch


class Rates(Parts):
    """Remembers the last reading of each counter.

    >>> rates = Rates()
    >>> rates.grow(1)
    >>> time_us, value = np.arange(4) * 2_000_000, np.array([5.0, 9.0, 1.0, 2.0])
    >>> rates.update(Stretch.of_rows(np.zeros(4, np.intp), time_us, value)).tolist()
    [nan, 2.0, nan, 0.5]
    """

    def __init__(self) -> None:
        self._state = SeriesState(
            {"before": Field((), np.float64, np.nan), "before_us": Field((), np.int64, NEVER_US)}
        )
        super().__init__({"state": self._state})

    def update(self, stretch: Stretch) -> Float64:
        """Return the rise a second since the reading before; NaN where there was none, or the counter fell.

        After a fall nobody knows how far the counter had come.
        """
        state, rows, ends = self._state, stretch.rows, stretch.ends
        rose = stretch.value - stretch.before(state["before"][rows])
        known = rose >= 0.0
        apart_us = (stretch.time_us - stretch.before_us(state["before_us"][rows]))[known]
        state["before"][rows], state["before_us"][rows] = stretch.value[ends], stretch.time_us[ends]
        rates = np.full(len(rose), np.nan)
        rates[known] = rose[known] / (apart_us / 1e6)
        return rates
