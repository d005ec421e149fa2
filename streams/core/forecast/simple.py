"""Forecasts that need no model: those that any other has to beat, and what is usual at that hour."""

from __future__ import annotations

import numpy as np

from streams.core.batch import Float64
from streams.core.forecast.hours import DAY, WEEK

NAIVE = "naive"
SEASONS = {"as a day ago": DAY, "as a week ago": WEEK}
TO_BEAT = (NAIVE, *SEASONS)

USUAL_DAYS, USUAL_WEEKS, LEVEL_WEEKS = 7, 8, 4


def simple(history: Float64, horizon: int) -> dict[str, Float64]:
    """Return the forecasts to beat, by name: as now, as a day ago, as a week ago where there is one.

    >>> simple(np.arange(30.0), 2)["as a day ago"].tolist()
    [6.0, 7.0]
    """
    found = {NAIVE: np.full(horizon, history[-1])}
    for name, period in SEASONS.items():
        if len(history) >= period:
            found[name] = np.resize(history[-period:], horizon)
    return found


def usual(history: Float64, horizon: int) -> dict[str, Float64]:
    """Return what is usual at each hour: the median of some days or weeks before, by name.

    ``usual week from now`` is as far from it as the last day was.

    >>> usual(np.tile([1.0, 2.0, 3.0], 16), 4)["usual day"].tolist()
    [1.0, 2.0, 3.0, 1.0]
    """
    found = {"usual day": np.resize(_median(history, DAY, USUAL_DAYS), horizon)}
    if len(history) >= 2 * WEEK:
        found["usual week"] = np.resize(_median(history, WEEK, USUAL_WEEKS), horizon)
        week = _median(history, WEEK, LEVEL_WEEKS)
        moved = float(np.median(history[-DAY:] - week[-DAY:]))
        found["usual week from now"] = np.resize(week, horizon) + moved
    return found


def _median(history: Float64, period: int, most: int) -> Float64:
    """Return the median of each place of a season, its last place being that of the last value."""
    seasons = min(len(history) // period, most)
    return np.median(history[-seasons * period :].reshape(seasons, period), axis=0)
