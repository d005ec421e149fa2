"""Silence: a series that sent nothing for longer than it usually does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.core.batch import NEVER_US, Float64, Int64
from streams.core.detect.detector import Detector, Measured
from streams.core.detect.deviation import LARGEST
from streams.core.detect.memory import Field, Rows

RECENT = 100
"""Gaps over which the usual one is averaged."""

FEWEST = 8
"""Of a series with fewer gaps nobody knows what is usual."""


class Silence(Detector):
    """Looks at the time between readings alone.

    ``statistic`` is by how many usual gaps the last one was too long; ``expected`` is the usual gap in
    seconds, and ``band`` is as long. What is overdue now, :meth:`overdue` tells.

    >>> detector = Silence()
    >>> detector.grow(1)
    >>> for time_s in [*range(0, 100, 10), 150]:
    ...     scores = detector.update(np.array([0]), np.array([time_s * 1_000_000]), np.array([[1.0]]))
    >>> float(scores.statistic[0, 0]), float(scores.expected[0, 0])
    (5.0, 10.0)
    >>> detector.overdue(np.array([0]), now_us=150_000_000).tolist()
    [-1.0]
    """

    name = "silence"

    def _fields(self) -> Mapping[str, Field]:
        return {
            "heard_us": Field((), np.int64, NEVER_US),
            "usual_s": Field((), np.float64),
            "gaps": Field((), np.int64, -1),
        }

    def overdue(self, rows: Rows, now_us: int) -> Float64:
        """Return by how many usual gaps the next reading of some series is late at a time; at least -1."""
        state = self._state
        known = state["gaps"][rows] >= FEWEST
        since_s = (now_us - np.where(known, state["heard_us"][rows], now_us)) / 1e6
        late: Float64 = np.maximum(since_s / np.where(known, state["usual_s"][rows], 1.0) - 1.0, -1.0)
        return late

    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        state = self._state
        gaps, usual_s = state["gaps"][rows] + 1, state["usual_s"][rows]
        gap_s = np.where(gaps > 0, time_us - np.where(gaps > 0, state["heard_us"][rows], 0), 0) / 1e6
        late = np.clip(gap_s / np.maximum(usual_s, 1e-6) - 1.0, 0.0, LARGEST)
        late[gaps <= FEWEST] = 0.0
        weight = 1.0 / np.clip(gaps, 1, RECENT)
        state["heard_us"][rows], state["gaps"][rows] = time_us, gaps
        state["usual_s"][rows] = usual_s + weight * (gap_s - usual_s)
        columns = np.ones((1, self.columns))
        return Measured(late[:, None] * columns, usual_s[:, None] * columns, usual_s[:, None] * columns)
