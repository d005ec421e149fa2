"""An anomaly is an interval, not a flood of points: who is told once need not be told again.

An episode begins with a reading that surprises enough, and lasts until ``REFRACTORY`` readings in a row
did not. Only its beginning alerts.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.core.batch import NEVER_US, Bools, Float64, Int64
from streams.core.detect.memory import Field, Parts, Rows, SeriesState

REFRACTORY = 60
"""Readings."""


class Severity(IntEnum):
    """How unlikely an episode is at its peak. From HIGH on it is meant to wake people up."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


LEVELS = (1.25, 1.7, 2.2, 3.0)
"""The mean surprise (see ``likelihood``) from which on an episode is LOW, MEDIUM, HIGH and CRITICAL."""

NOTICE = LEVELS[0]


class Episode(NamedTuple):
    """What happened to a series: from the first to the last reading that surprised, and the worst one.

    ``reason`` is that of the worst reading, a place in ``REASONS``,
    ``direction`` 1 where it was too high and -1 where it was too low.
    """

    series: int
    start_us: int
    peak_us: int
    end_us: int
    peak: float
    reason: int
    direction: int

    @property
    def severity(self) -> Severity:
        """How unlikely its peak was.

        >>> Episode(0, 0, 5, 9, peak=2.3, reason=0, direction=1).severity
        <Severity.HIGH: 3>
        """
        return Severity(int(np.searchsorted(LEVELS, self.peak, side="right")))


class Told(NamedTuple):
    """What a round of readings brought: where an episode began, an entry a reading, and which are over."""

    began: Bools
    ended: list[Episode]


class Episodes(Parts):
    """The episodes of many series.

    >>> episodes = Episodes()
    >>> episodes.grow(1)
    >>> row, series, reason, high = np.array([0]), np.array([7]), np.array([0]), np.array([1.0])
    >>> told = episodes.update(row, series, np.array([5]), np.array([3.0]), reason, high)
    >>> told.began.tolist(), episodes.open()[0].severity.name
    ([True], 'CRITICAL')
    """

    def __init__(self) -> None:
        self._state = SeriesState(
            {
                "quiet": Field((), np.int32, REFRACTORY),
                "series": Field((), np.int64),
                "start_us": Field((), np.int64, NEVER_US),
                "peak_us": Field((), np.int64, NEVER_US),
                "end_us": Field((), np.int64, NEVER_US),
                "peak": Field((), np.float64),
                "reason": Field((), np.int16),
                "direction": Field((), np.int8),
            }
        )
        super().__init__({"state": self._state})

    def update(
        self,
        rows: Rows,
        series: Int64,
        time_us: Int64,
        surprise: Float64,
        reason: npt.NDArray[np.integer],
        statistic: Float64,
    ) -> Told:
        """Take in the next reading of each of some series."""
        state = self._state
        quiet = state["quiet"][rows]
        surprises = surprise >= NOTICE
        began = surprises & (quiet >= REFRACTORY)
        now_quiet = np.where(surprises, 0, np.minimum(quiet + 1, REFRACTORY))
        over = (now_quiet >= REFRACTORY) & (quiet < REFRACTORY)
        state["quiet"][rows] = now_quiet
        ended = self._read(rows[over]) if over.any() else []
        if surprises.any():
            state["series"][rows[began]] = series[began]
            state["start_us"][rows[began]] = time_us[began]
            state["peak"][rows[began]] = 0.0
            state["end_us"][rows[surprises]] = time_us[surprises]
            worst = surprises & (surprise > state["peak"][rows])
            at = rows[worst]
            state["peak"][at], state["peak_us"][at] = surprise[worst], time_us[worst]
            state["reason"][at], state["direction"][at] = reason[worst], np.sign(statistic[worst])
        return Told(began, ended)

    def open(self) -> list[Episode]:
        """Return all episodes that are not over."""
        return self.open_of(np.arange(len(self._state)))

    def open_of(self, rows: Rows) -> list[Episode]:
        """Return the episodes of some series that are not over."""
        return self._read(rows[self._state["quiet"][rows] < REFRACTORY])

    def _read(self, rows: Rows) -> list[Episode]:
        columns = [self._state[name][rows].tolist() for name in Episode._fields]
        return [Episode(*fields) for fields in zip(*columns, strict=True)]
