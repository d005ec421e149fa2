"""Flat line: a sensor that is stuck repeats itself longer than it ever did."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.core.batch import Float64, Int64
from streams.core.detect.detector import Detector, Measured
from streams.core.detect.memory import Field, Rows

CHANGES = 16
"""A signal that changed less often than this may be constant by nature: it is not judged."""


class FlatLine(Detector):
    """Counts repetitions of exactly the same value.

    ``statistic`` is their number; it has no direction. ``expected`` is the value, ``band`` is 0.

    >>> detector = FlatLine()
    >>> detector.grow(1)
    >>> for time_us, value in enumerate([*range(20), 7.0, 7.0, 7.0]):
    ...     scores = detector.update(np.array([0]), np.array([time_us]), np.array([[value]]))
    >>> float(scores.statistic[0, 0])
    2.0
    """

    name = "flat_line"
    lowest = 0.5

    def _fields(self) -> Mapping[str, Field]:
        return {
            "before": Field((self.columns,), np.float64, np.nan),
            "run": Field((self.columns,), np.int64),
            "changes": Field((self.columns,), np.int64, -1),
        }

    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        state = self._state
        same = signals == state["before"][rows]
        run = np.where(same, state["run"][rows] + 1, 0)
        changes = state["changes"][rows] + ~same
        state["before"][rows], state["run"][rows], state["changes"][rows] = signals, run, changes
        statistic = np.where(changes >= CHANGES, run, 0).astype(np.float64)
        return Measured(statistic, signals, np.zeros_like(signals))
