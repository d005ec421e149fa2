"""Bursts: how many events there were in the last hour, counted so that older ones fade."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from streams.core.batch import NEVER_US, Bools, Float64, Int64
from streams.core.detect.detector import Detector, Measured
from streams.core.detect.memory import Field, Rows, SeriesState
from streams.core.detect.stretch import Stretch

FADES_US = 3_600_000_000
"""With this time constant."""

FEW = 0.5
"""A burst began with the event before which there were fewer."""

HORIZON = 100
"""Events, about, over which it is averaged how many are usual when there is one."""

FORGOTTEN = 1e-3
"""Fewer are none."""


class Bursts(Detector):
    """Counts events of the first signal, each told by the value before.

    ``statistic`` is by how many there were more in the last hour than usual; it has no direction.
    ``expected`` is how many are usual when there is one, and ``band`` is 0.
    """

    lowest = 0.5

    @abstractmethod
    def _events(self, before: Float64, value: Float64) -> Bools:
        """Tell where a value is an event, beside the one before; the first value's is itself."""

    def since_us(self, rows: Rows) -> Int64:
        """Return when the first event of the last burst of some series was."""
        since_us: Int64 = self._state["since_us"][rows]
        return since_us

    def pass_over(self, stretch: Stretch, calm: Bools, most: Float64) -> Bools:
        """Take in all readings of the ``calm`` series that have no events, and tell which those are."""
        state, rows = self._state, stretch.rows
        before = stretch.before(state["before"][rows])
        before = np.where(np.isnan(before), stretch.value, before)
        calm = calm & (state["events"][rows] == 0.0) & ~stretch.any(self._events(before, stretch.value))
        state["before"][rows[calm]] = stretch.value[stretch.ends[calm]]
        return calm

    def _fields(self) -> Mapping[str, Field]:
        return {
            "before": Field((), np.float64, np.nan),
            "events": Field((), np.float64),
            "counted_us": Field((), np.int64, NEVER_US),
            "since_us": Field((), np.int64, NEVER_US),
            "usual": Field((), np.float64, 1.0),
        }

    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        value, before = signals[:, 0], self._state["before"][rows]
        before = np.where(np.isnan(before), value, before)
        self._state["before"][rows] = value
        event = self._events(before, value)
        events, usual = _recent(self._state, rows, time_us, event), self._state["usual"][rows]
        self._state["usual"][rows[event]] += (events - usual)[event] / HORIZON
        columns = np.ones((1, self.columns))
        more = np.maximum(events - usual, 0.0)
        return Measured(more[:, None] * columns, usual[:, None] * columns, 0.0 * signals)


def _recent(state: SeriesState, rows: Rows, time_us: Int64, event: Bools) -> Float64:
    """Return how many events there were lately, those of now among them; remember them."""
    events: Float64 = state["events"][rows]
    some = event | (events > 0.0)
    if some.any():
        at, now_us, new, before = rows[some], time_us[some], event[some], events[some]
        apart_us = now_us - np.where(before > 0.0, state["counted_us"][at], now_us)
        left = before * np.exp(-apart_us / FADES_US)
        left[left < FORGOTTEN] = 0.0
        begins = new & (left < FEW)
        state["since_us"][at[begins]] = now_us[begins]
        events[some] = left + new
        state["events"][at], state["counted_us"][at] = events[some], now_us
    return events
