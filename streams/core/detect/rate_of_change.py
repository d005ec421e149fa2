"""Rate of change: how fast a signal moves, beside how fast it usually does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.core.batch import NEVER_US, Float64, Int64
from streams.core.detect.detector import Detector, Measured
from streams.core.detect.deviation import HORIZON, LARGEST
from streams.core.detect.memory import Field, Rows


class RateOfChange(Detector):
    """Change a second since the reading before, in root mean squares of such rates.

    ``expected`` is the reading before, ``band`` how far it usually moves in as much time.

    >>> detector = RateOfChange()
    >>> detector.grow(1)
    >>> for time_s, value in enumerate([1.0, 2.0, 1.0, 6.0]):
    ...     scores = detector.update(np.array([0]), np.array([time_s * 1_000_000]), np.array([[value]]))
    >>> float(scores.statistic[0, 0]), float(scores.expected[0, 0])
    (5.0, 1.0)
    """

    name = "rate_of_change"

    def _fields(self) -> Mapping[str, Field]:
        of_each = Field((self.columns,), np.float64)
        return {
            "before": of_each,
            "before_us": Field((), np.int64, NEVER_US),
            "mean_square": of_each,
            "count": Field((), np.int64),
        }

    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        state = self._state
        count = state["count"][rows]
        first = count == 0
        before = np.where(first[:, None], signals, state["before"][rows])
        apart_s = np.where(first, 1.0, (time_us - np.where(first, 0, state["before_us"][rows])) / 1e6)
        rate = (signals - before) / apart_s[:, None]
        usual = np.sqrt(state["mean_square"][rows])
        statistic = np.clip(rate / np.maximum(usual, 1e-200), -LARGEST, LARGEST)
        statistic[count < 2] = 0.0
        weight = 1.0 / np.clip(count, 1, HORIZON)[:, None]
        state["mean_square"][rows] += weight * (rate * rate - state["mean_square"][rows])
        state["before"][rows], state["before_us"][rows] = signals, time_us
        state["count"][rows] = count + 1
        return Measured(statistic, before, usual * apart_s[:, None])
