"""Regimes: whether an anomaly went away, or became what is usual."""

from __future__ import annotations

import numpy as np

from streams.core.batch import NEVER_US, Bools, Float64, Int64
from streams.core.detect.deviation import LEAST_BAND
from streams.core.detect.episodes import NOTICE, REFRACTORY
from streams.core.detect.memory import Field, Parts, Rows, SeriesState
from streams.core.detect.stretch import Stretch
from streams.core.detect.turns import turns

LAST = 16
"""The level of a series is the median of so many of its last readings."""

APART = 2.0
"""Two levels are two where they are farther apart than so many mean differences from the former."""


class Regimes(Parts):
    """Compares the level after each episode with the one before it.

    An episode is over once ``REFRACTORY`` readings in a row did not surprise. Where they are not what those
    before the episode were, it is because the series knows them by now.

    >>> regimes = Regimes()
    >>> regimes.grow(1)
    >>> value = np.concatenate([np.resize([1.0, 2.0], 100), np.resize([8.0, 9.0], 61)])
    >>> stretch = Stretch.of_rows(np.zeros(161, np.intp), np.arange(161), value)
    >>> regimes.update(stretch, np.array([7]), np.where(stretch.time_us == 100, 2.0, 0.0))
    {(7, 100)}
    """

    def __init__(self) -> None:
        self._state = SeriesState(
            {
                "recent": Field((LAST,), np.float64),
                "count": Field((), np.int64),
                "quiet": Field((), np.int32, REFRACTORY),
                "surprised_us": Field((), np.int64, NEVER_US),
                "usual_level": Field((), np.float64),
                "usual_spread": Field((), np.float64),
            }
        )
        super().__init__({"state": self._state})

    def update(self, stretch: Stretch, series: Int64, surprise: Float64) -> set[tuple[int, int]]:
        """Take in readings and how surprising each is; tell of which episodes the level stayed.

        Those are told with the reading that ends them: series and time of the last surprise. ``series``
        names those of the stretch.
        """
        surprises = surprise >= NOTICE
        calm = (self._state["quiet"][stretch.rows] >= REFRACTORY) & ~stretch.any(surprises)
        self._pass_over(stretch.take(stretch.chosen(calm)))
        stayed = set[tuple[int, int]]()
        places = stretch.chosen(~calm)
        for _, turn in turns(stretch.of[places]):
            readings = places[turn]
            of = stretch.of[readings]
            over = self._turn(
                stretch.rows[of], stretch.time_us[readings], stretch.value[readings], surprises[readings]
            )
            last_us = self._state["surprised_us"][stretch.rows[of[over]]]
            stayed |= set(zip(series[of[over]].tolist(), last_us.tolist(), strict=True))
        return stayed

    def _pass_over(self, stretch: Stretch) -> None:
        """Take in readings of series that have no episode."""
        ends, count = stretch.ends, self._state["count"][stretch.rows]
        places = np.arange(len(stretch.of))
        last = np.flatnonzero(ends[stretch.of] - places < LAST)
        of = stretch.of[last]
        at = (count[of] + last - stretch.starts[of]) % LAST
        self._state["recent"][stretch.rows[of], at] = stretch.value[last]
        self._state["count"][stretch.rows] = count + stretch.counts

    def _turn(self, rows: Rows, time_us: Int64, value: Float64, surprises: Bools) -> Bools:
        """Take in the next reading of each of some series; tell whose episode is over, but not its level."""
        state = self._state
        quiet, count = state["quiet"][rows], state["count"][rows]
        begins = rows[surprises & (quiet >= REFRACTORY)]
        state["usual_level"][begins], state["usual_spread"][begins] = self._levels(begins)
        state["surprised_us"][rows[surprises]] = time_us[surprises]
        state["recent"][rows, count % LAST] = value
        state["count"][rows] = count + 1
        now_quiet = np.where(surprises, 0, np.minimum(quiet + 1, REFRACTORY))
        state["quiet"][rows] = now_quiet
        over = (now_quiet >= REFRACTORY) & (quiet < REFRACTORY)
        before, spread = state["usual_level"][rows], state["usual_spread"][rows]
        least = np.maximum(APART * spread, LEAST_BAND * np.abs(before))
        stayed: Bools = over & (np.abs(self._levels(rows)[0] - before) > least)
        return stayed

    def _levels(self, rows: Rows) -> tuple[Float64, Float64]:
        """Return the level of some series, and the mean difference from it."""
        recent = self._state["recent"][rows]
        level = np.median(recent, axis=1) if len(rows) else np.zeros(0)
        return level, np.abs(recent - level[:, None]).mean(axis=1)
