"""Pauses: how long nothing came, in seconds."""

from __future__ import annotations

import numpy as np

from streams.core.batch import NEVER_US, Bools, Float64, Int64
from streams.core.detect.detector import Measured
from streams.core.detect.memory import Field, Parts, Rows, SeriesState
from streams.core.detect.stretch import Stretch


class Pauses(Parts):
    """Remembers when series were heard of last; unlike :class:`~streams.core.detect.silence.Silence` it
    compares nothing.

    >>> pauses = Pauses()
    >>> pauses.grow(1)
    >>> for time_us in (0, 10_000_000):
    ...     measured = pauses.measure(np.array([0]), np.array([time_us]), np.array([[1.0]]))
    >>> measured.statistic.tolist(), pauses.lasting(np.array([0]), now_us=70_000_000).tolist()
    ([[10.0]], [60.0])
    """

    def __init__(self) -> None:
        heard = Field((), np.int64, NEVER_US)
        self._state = SeriesState({"heard_us": heard, "since_us": heard})
        super().__init__({"state": self._state})

    def since_us(self, rows: Rows) -> Int64:
        """Return when the last pause of some series began."""
        since_us: Int64 = self._state["since_us"][rows]
        return since_us

    def heard_us(self, rows: Rows) -> Int64:
        """Return the time of the last reading of some series."""
        heard_us: Int64 = self._state["heard_us"][rows]
        return heard_us

    def lasting(self, rows: Rows, now_us: int) -> Float64:
        """Return for how many seconds nothing came of some series at a time."""
        return _seconds(self.heard_us(rows), np.full(len(rows), now_us))

    def pass_over(self, stretch: Stretch, calm: Bools, most: Float64) -> Bools:
        """Take in all readings of ``calm`` series that have no longer pauses, and tell which those are."""
        heard_us, ends = self._state["heard_us"], stretch.ends
        pause_s = _seconds(stretch.before_us(heard_us[stretch.rows]), stretch.time_us)
        calm = calm & ~stretch.any(pause_s > most[stretch.of])
        heard_us[stretch.rows[calm]] = stretch.time_us[ends[calm]]
        return calm

    def measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        """Measure the pause before the next reading of each of some series; nothing is expected of it."""
        heard_us = self._state["heard_us"][rows]
        self._state["since_us"][rows], self._state["heard_us"][rows] = heard_us, time_us
        pause_s = _seconds(heard_us, time_us)[:, None] + 0.0 * signals
        return Measured(pause_s, 0.0 * signals, 0.0 * signals)


def _seconds(from_us: Int64, to_us: Int64) -> Float64:
    """Return how long it is between times, 0 where the first is none."""
    seconds: Float64 = (to_us - np.where(from_us == NEVER_US, to_us, from_us)) / 1e6
    return seconds
