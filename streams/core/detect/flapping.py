"""Flapping: a state that changes to and fro more often than it ever did."""

from __future__ import annotations

import numpy as np

from streams.core.batch import Bools, Float64
from streams.core.detect.bursts import Bursts


class Flapping(Bursts):
    """Counts changes.

    >>> detector = Flapping()
    >>> detector.grow(1)
    >>> for time_us, value in enumerate([1.0, 1.0, 2.0, 1.0, 1.0]):
    ...     scores = detector.update(np.array([0]), np.array([time_us]), np.array([[value]]))
    >>> round(float(scores.statistic[0, 0]), 3)
    0.99
    """

    name = "flapping"

    def _events(self, before: Float64, value: Float64) -> Bools:
        return np.not_equal(value, before)
