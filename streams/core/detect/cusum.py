"""Cumulative sum: small differences from the mean that do not end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.core.batch import Float64, Int64
from streams.core.detect.detector import Detector, Measured
from streams.core.detect.deviation import LARGEST, deviations, moment_fields
from streams.core.detect.memory import Field, Rows

ALLOWED = 0.5
"""Standard deviations that a reading may be away from the mean without adding to the sum."""

COUNTED = 5.0
"""Standard deviations that a single reading can add: one outlier is no shift."""


class Cusum(Detector):
    """Page's (1954) two-sided cumulative sum, in standard deviations.

    ``statistic`` is the larger of the two sums, negative where it is that of readings below the mean;
    ``expected`` is the mean, ``band`` the standard deviation.

    >>> detector = Cusum()
    >>> detector.grow(1)
    >>> for time_us, value in enumerate([1.0, 2.0, 3.0, 9.0]):
    ...     scores = detector.update(np.array([0]), np.array([time_us]), np.array([[value]]))
    >>> float(scores.statistic[0, 0])
    7.0
    """

    name = "cusum"
    lowest = 2.0**-3

    def _fields(self) -> Mapping[str, Field]:
        of_each = Field((self.columns,), np.float64)
        return {**moment_fields(self.columns), "above": of_each, "below": of_each}

    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        state = self._state
        away, mean, band = deviations(state, rows, signals, COUNTED)
        above = np.clip(state["above"][rows] + away - ALLOWED, 0.0, LARGEST)
        below = np.clip(state["below"][rows] - away - ALLOWED, 0.0, LARGEST)
        state["above"][rows], state["below"][rows] = above, below
        return Measured(np.where(above >= below, above, -below), mean, band)
