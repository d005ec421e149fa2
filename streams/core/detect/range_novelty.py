"""Range novelty: how far a signal is outside of everything that was seen of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.core.batch import Float64, Int64
from streams.core.detect.detector import Detector, Measured
from streams.core.detect.deviation import LARGEST, LEAST_BAND
from streams.core.detect.memory import Field, Rows

SHRINKS = 1 / 20_000
"""By this share of its width the range shrinks at either end with each reading: old records fade."""


class RangeNovelty(Detector):
    """Counts in widths of the range seen so far; 0 inside of it.

    ``expected`` is the middle of the range, ``band`` half of its width.

    >>> detector = RangeNovelty()
    >>> detector.grow(1)
    >>> for time_us, value in enumerate([1.0, 5.0, 7.0]):
    ...     scores = detector.update(np.array([0]), np.array([time_us]), np.array([[value]]))
    >>> round(float(scores.statistic[0, 0]), 2)
    0.5
    """

    name = "range_novelty"
    lowest = 2.0**-9

    def _fields(self) -> Mapping[str, Field]:
        of_each = Field((self.columns,), np.float64)
        return {"low": of_each, "high": of_each, "count": Field((), np.int64)}

    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        state = self._state
        first = state["count"][rows] == 0
        low, high = state["low"].take(rows, axis=0), state["high"].take(rows, axis=0)
        if first.any():
            low[first] = high[first] = signals[first]
        width = high - low
        over = np.maximum(signals - high, 0.0) + np.minimum(signals - low, 0.0)
        statistic = over / np.maximum(width, LEAST_BAND * np.abs(low) + 1e-200)
        np.clip(statistic, -LARGEST, LARGEST, out=statistic)
        shrink = SHRINKS * width
        state["low"][rows] = np.minimum(low + shrink, signals)
        state["high"][rows] = np.maximum(high - shrink, signals)
        state["count"][rows] += 1
        return Measured(statistic, (low + high) / 2, width / 2)
