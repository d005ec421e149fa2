"""Deviation: how many standard deviations a signal is away from its mean."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.core.batch import Float64, Int64
from streams.core.detect.detector import Detector, Measured
from streams.core.detect.memory import Field, Rows, SeriesState

HORIZON = 6400
"""Readings count alike up to so many; then older ones fade with this time constant."""

LARGEST = 1e6
"""No statistic is larger: a constant that changes at all is infinitely many deviations away."""


LEAST_BAND = 1e-14
"""Of the mean: no deviation counts as smaller, because that much is the rounding of numbers."""


def moment_fields(columns: int) -> dict[str, Field]:
    """Return the state in which :func:`deviations` remembers ``columns`` signals."""
    of_each = Field((columns,), np.float64)
    return {"mean": of_each, "variance": of_each, "count": Field((), np.int64)}


def deviations(state: SeriesState, rows: Rows, signals: Float64, largest: float) -> Measured:
    """Return how many standard deviations signals are from their means, ``largest`` at most; remember them.

    Mean and variance are those before the reading, over the last readings, exponentially weighted once
    there are ``HORIZON``. The weighted updates are West's (1979), which stay exact however large the mean is
    against the deviation.
    """
    mean, variance = state["mean"].take(rows, axis=0), state["variance"].take(rows, axis=0)
    count = state["count"][rows]
    away = signals - mean
    band = np.sqrt(variance)
    statistic = away / np.maximum(band, LEAST_BAND * np.abs(mean) + 1e-200)
    np.clip(statistic, -largest, largest, out=statistic)
    statistic[count < 2] = 0.0
    weight = 1.0 / np.minimum(count + 1, HORIZON)[:, None]
    step = weight * away
    state["mean"][rows] = mean + step
    state["variance"][rows] = (1.0 - weight) * (variance + step * away)
    state["count"][rows] = count + 1
    return Measured(statistic, mean, band)


class Deviation(Detector):
    """``expected`` is the mean, ``band`` the standard deviation, as :func:`deviations` has them.

    >>> detector = Deviation()
    >>> detector.grow(1)
    >>> for time_us, value in enumerate([1.0, 2.0, 3.0, 9.0]):
    ...     scores = detector.update(np.array([0]), np.array([time_us]), np.array([[value]]))
    >>> float(scores.expected[0, 0]), round(float(scores.statistic[0, 0]), 2)
    (2.0, 8.57)
    """

    name = "deviation"

    def _fields(self) -> Mapping[str, Field]:
        return moment_fields(self.columns)

    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        return deviations(self._state, rows, signals, LARGEST)
