"""Records: what lasts, or comes, several times as much as it ever did is told of.

For statistics that are 0 most of the time and grow while something lasts: repetitions of a value, the
length of a gap, restarts in an hour. Of what comes by chance, one in so many is as large as the largest of so
many, and far fewer are twice as large: false alarms end by themselves as a series gets older.
"""

from __future__ import annotations

import numpy as np

from streams.core.batch import NEVER_US, Bools, Float64, Int64
from streams.core.detect.episodes import NOTICE, Episode, Told
from streams.core.detect.memory import Field, Parts, Rows, SeriesState

LEARNT = 4.0
"""A record is at most so many times the limit it broke: a month that is over must not hide a day."""


class Records(Parts):
    """The episodes of one statistic of many series.

    An episode lasts while the statistic is of the same thing, and at least half of its peak. Its ``peak``
    is ``NOTICE`` times how many times the limit the statistic was. The limit is ``times`` the record, and
    ``least`` at least. ``reason`` is that of the episodes.

    >>> records = Records(times=2.0, least=10.0, reason=7)
    >>> records.grow(1)
    >>> row, ready = np.array([0]), np.array([True])
    >>> for time_us, lasts in enumerate([0.0, 6.0, 0.0, 11.9, 12.0, 13.0, 0.0]):
    ...     now_us = np.array([time_us])
    ...     told = records.update(row, row, now_us, np.array([lasts]), np.array([0]), ready)
    >>> [(episode.start_us, episode.end_us) for episode in told.ended]
    [(0, 5)]
    """

    def __init__(self, times: float, least: float, reason: int) -> None:
        self.times = times
        self.least = least
        self.reason = reason
        self._state = SeriesState(
            {
                "highest": Field((), np.float64),
                "now": Field((), np.float64),
                "series": Field((), np.int64),
                "since_us": Field((), np.int64, NEVER_US),
                "peak_us": Field((), np.int64, NEVER_US),
                "end_us": Field((), np.int64, NEVER_US),
                "told": Field((), np.bool_),
            }
        )
        super().__init__({"state": self._state})

    def update(
        self,
        rows: Rows,
        series: Int64,
        time_us: Int64,
        statistic: Float64,
        since_us: Int64 | None,
        ready: Bools,
    ) -> Told:
        """Take in the statistic at the next reading of each of some series.

        ``since_us``: when that began which it measures, None where that is the first reading that is more
        than usual; ``ready``: of which series there may be episodes.
        """
        state = self._state
        began = np.zeros(len(rows), bool)
        some = np.flatnonzero((statistic > self.usual(rows)) | (state["now"][rows] > 0.0))
        if not len(some):
            return Told(began, [])
        at, statistic, time_us = rows[some], statistic[some], time_us[some]
        lasts = state["now"][at] > 0.0
        since_us = np.where(lasts, state["since_us"][at], time_us) if since_us is None else since_us[some]
        other = (since_us != state["since_us"][at]) | (statistic < state["now"][at] / 2.0)
        ended = self._end(at[other & lasts])
        higher = statistic > np.maximum(state["now"][at], self.usual(at))
        state["now"][at[higher]], state["peak_us"][at[higher]] = statistic[higher], time_us[higher]
        state["since_us"][at[higher]] = since_us[higher]
        high = (statistic >= self.limits(at)) & ready[some]
        state["end_us"][at[high]], state["series"][at[high]] = time_us[high], series[some][high]
        began[some] = high & ~state["told"][at]
        state["told"][at[high]] = True
        return Told(began, ended)

    def limits(self, rows: Rows) -> Float64:
        """Return from which statistic on some series are told of."""
        limits: Float64 = np.maximum(self.least, self.times * self._state["highest"][rows])
        return limits

    def usual(self, rows: Rows) -> Float64:
        """Return up to which statistic there is nothing to learn of some series, unless they are not calm."""
        return self.limits(rows) / self.times

    def calm(self, rows: Rows) -> Bools:
        """Tell of which series nothing lasts that is more than usual."""
        calm: Bools = self._state["now"][rows] == 0.0
        return calm

    def open(self) -> list[Episode]:
        """Return all episodes that are not over."""
        return self.open_of(np.arange(len(self._state)))

    def open_of(self, rows: Rows) -> list[Episode]:
        """Return the episodes of some series that are not over."""
        state, told = self._state, rows[self._state["told"][rows]]
        peaks = (NOTICE * state["now"][told] / self.limits(told)).tolist()
        columns = [state[name][told].tolist() for name in ("series", "since_us", "peak_us", "end_us")]
        return [
            Episode(series, start_us, peak_us, end_us, peak, self.reason, 1)
            for series, start_us, peak_us, end_us, peak in zip(*columns, peaks, strict=True)
        ]

    def _end(self, rows: Rows) -> list[Episode]:
        """Learn from what is over, and return the episodes among it."""
        state, ended = self._state, self.open_of(rows)
        learnt = np.minimum(state["now"][rows], LEARNT * self.limits(rows))
        state["highest"][rows] = np.maximum(state["highest"][rows], learnt)
        state["now"][rows], state["told"][rows] = 0.0, False
        return ended
