"""Peers: one machine that becomes unlike the others of its kind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.core.batch import Float64, Int64
from streams.core.detect.detector import Detector, Measured
from streams.core.detect.deviation import HORIZON
from streams.core.detect.memory import Field, Rows

FEWEST = 5
"""Of fewer nobody knows who is unlike the others."""

SPAN = 15
"""Differences are averaged over about so many values: a minute that is odd is no odd machine."""

FARTHEST = 10.0
"""A difference counts as no larger: what is so unlike the others is unlike them."""

_NORMAL = 1.4826
"""The standard deviation of normal noise, in median differences from the median."""

_LEAST_SPREAD = 1e-6
"""Of the median: peers that all say the same differ by this."""


def unlike(group: Int64, value: Float64) -> Float64:
    """Return how far each value is from the median of its group, in its group's usual differences.

    A usual difference is the median one from the median, as much as a standard deviation of normal noise.
    Groups of fewer than ``FEWEST`` say nothing: 0.

    >>> unlike(np.array([3, 3, 3, 3, 3, 8]), np.array([1.0, 2.0, 3.0, 4.0, 60.0, 5.0])).round(1).tolist()
    [-1.3, -0.7, 0.0, 0.7, 38.4, 0.0]
    """
    _, of, counts = np.unique(group, return_inverse=True, return_counts=True)
    of = of.reshape(-1)
    middle = _medians(of, counts, value)
    away = value - middle[of]
    spread = np.maximum(_NORMAL * _medians(of, counts, np.abs(away)), _LEAST_SPREAD * np.abs(middle) + 1e-200)
    return np.where(counts[of] >= FEWEST, away / spread[of], 0.0)


def _medians(of: Int64, counts: Int64, value: Float64) -> Float64:
    ordered = value[np.lexsort((value, of))]
    starts = np.cumsum(counts) - counts
    median: Float64 = (ordered[starts + (counts - 1) // 2] + ordered[starts + counts // 2]) / 2.0
    return median


class Peers(Detector):
    """Looks at how :func:`unlike` its peers a series is, each signal by itself.

    ``statistic`` is how much more so it is lately than it ever was on average; ``expected`` is that
    average, ``band`` is 1. A machine that always was unlike the others is usual.

    >>> detector = Peers()
    >>> detector.grow(1)
    >>> for time_us, value in enumerate([2.0] * 50 + [8.0] * 30):
    ...     scores = detector.update(np.array([0]), np.array([time_us]), np.array([[value]]))
    >>> float(scores.statistic[0, 0].round(1))
    3.0
    """

    name = "peers"
    ignores_level = False
    ignores_scale = False

    def _fields(self) -> Mapping[str, Field]:
        of_each = Field((self.columns,), np.float64)
        return {"lately": of_each, "usual": of_each, "count": Field((), np.int64)}

    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        state = self._state
        apart = np.clip(signals, -FARTHEST, FARTHEST)
        count = state["count"][rows][:, None] + 1
        usual = np.where(count > 1, state["usual"][rows], apart)
        lately = state["lately"][rows] + (apart - state["lately"][rows]) / np.minimum(count, SPAN)
        state["lately"][rows], state["count"][rows] = lately, count[:, 0]
        state["usual"][rows] = usual + (apart - usual) / np.minimum(count, HORIZON)
        return Measured(lately - usual, usual, np.ones_like(usual))
