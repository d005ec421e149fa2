"""New state: a number that stands for a word, and that was never seen of its series."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.core.batch import NEVER_US, Bools, Float64, Int64
from streams.core.detect.detector import Detector, Measured
from streams.core.detect.memory import Field, Rows
from streams.core.detect.stretch import Stretch

STATES = 8
"""A series that showed more values than this tells no states: it is not judged."""

NEW_FOR = 60
"""Readings for which a state that lasts is new."""


class NewState(Detector):
    """Looks at the first signal alone.

    ``statistic`` is how many readings there were for each state, where the one of now is new, else 0; it
    has no direction. ``expected`` is the value before, ``band`` is 0.

    >>> detector = NewState()
    >>> detector.grow(1)
    >>> for time_us, value in enumerate([1.0, 1.0, 2.0, 1.0, 1.0, 1.0, 5.0]):
    ...     scores = detector.update(np.array([0]), np.array([time_us]), np.array([[value]]))
    >>> float(scores.statistic[0, 0]), float(scores.expected[0, 0])
    (3.0, 1.0)
    """

    name = "new_state"
    lowest = 0.5

    def _fields(self) -> Mapping[str, Field]:
        return {
            "before": Field((), np.float64, np.nan),
            "known": Field((STATES,), np.float64, np.nan),
            "states": Field((), np.int64),
            "readings": Field((), np.int64),
            "since_us": Field((), np.int64, NEVER_US),
            "newness": Field((), np.float64),
            "new_for": Field((), np.int64),
        }

    def since_us(self, rows: Rows) -> Int64:
        """Return when the value of some series changed last."""
        since_us: Int64 = self._state["since_us"][rows]
        return since_us

    def pass_over(self, stretch: Stretch, calm: Bools, most: Float64) -> Bools:
        """Take in all readings of the ``calm`` series that stay what they were, and tell which those are."""
        state, rows = self._state, stretch.rows
        changes = stretch.any(stretch.value != stretch.before(state["before"][rows]))
        calm = calm & ~changes & ((state["newness"][rows] == 0.0) | (state["new_for"][rows] >= NEW_FOR))
        state["readings"][rows[calm]] += stretch.counts[calm]
        state["new_for"][rows[calm]] += stretch.counts[calm]
        return calm

    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        state, value = self._state, signals[:, 0]
        before = state["before"][rows]
        changed = value != before
        some = np.flatnonzero(changed)
        state["before"][rows] = value
        state["since_us"][rows[some]] = time_us[some]
        state["newness"][rows[some]] = self._newness(rows[some], value[some])
        state["readings"][rows] += 1
        new_for = np.where(changed, 1, state["new_for"][rows] + 1)
        state["new_for"][rows] = new_for
        statistic = np.where(new_for <= NEW_FOR, state["newness"][rows], 0.0)
        expected = np.where(np.isnan(before), value, before)
        columns = np.ones((1, self.columns))
        return Measured(statistic[:, None] * columns, expected[:, None] * columns, 0.0 * signals)

    def _newness(self, rows: Rows, value: Float64) -> Float64:
        """Return how many readings there were for each state where a value is new, else 0; remember it."""
        state = self._state
        new = ~(state["known"][rows] == value[:, None]).any(axis=1)
        states = state["states"][rows]
        kept = new & (states < STATES)
        state["known"][rows[kept], states[kept]] = value[kept]
        state["states"][rows] = np.minimum(states + new, STATES + 1)
        judged = kept & (states > 0)
        newness: Float64 = np.where(judged, state["readings"][rows] / np.maximum(states, 1), 0.0)
        return newness
