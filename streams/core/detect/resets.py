"""Resets: a counter that falls began anew. Once is a restart; often is a machine that does not stay up."""

from __future__ import annotations

import numpy as np

from streams.core.batch import Bools, Float64
from streams.core.detect.bursts import Bursts


class Resets(Bursts):
    """Counts falls.

    >>> detector = Resets()
    >>> detector.grow(1)
    >>> for time_us, value in enumerate([5.0, 9.0, 1.0, 2.0, 0.0]):
    ...     scores = detector.update(np.array([0]), np.array([time_us]), np.array([[value]]))
    >>> round(float(scores.statistic[0, 0]), 3)
    1.0
    """

    name = "resets"

    def _events(self, before: Float64, value: Float64) -> Bools:
        return np.less(value, before)
