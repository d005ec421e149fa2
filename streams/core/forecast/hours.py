"""A series by the hour, made fit for models: gaps filled, outliers held, nothing of the future used."""

from __future__ import annotations

import numpy as np

from streams.core.batch import Float64, Int64

HOUR_US = 3_600_000_000
DAY, WEEK = 24, 168
"""Hours of the seasons that are looked for."""

MOST_HOURS = 8 * WEEK
"""Of a series its latest so many hours are looked at: what a forecast costs is bounded by it."""

LARGEST = 1e140
"""A value beyond it is none, as in rollups: squares of larger ones are no numbers."""

OUTLIER = 8.0
"""Deviations from the hours around beyond which a value is held: no noise has them, faults and bursts do."""


def usable(value: Float64) -> Float64:
    """Return values without those that say nothing: infinite, or beyond 1e140.

    >>> usable(np.array([1.0, np.inf, 1e300])).tolist()
    [1.0, nan, nan]
    """
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(value) <= LARGEST, value, np.nan)


def by_hour(time_us: Int64, value: Float64) -> tuple[int, Float64]:
    """Return the hour that the result begins at, and the mean of each hour; NaN where there is none.

    Readings may come in any order; of one time the last counts. Of a long series it is the latest hours.

    >>> start_us, mean = by_hour(np.array([0, 1, 2 * HOUR_US]), np.array([1.0, 3.0, 5.0]))
    >>> start_us, mean.tolist()
    (0, [2.0, nan, 5.0])
    """
    time_us, value = time_us[::-1], usable(value)[::-1]
    time_us, first = np.unique(time_us, return_index=True)
    value = value[first]
    known = ~np.isnan(value)
    hour, value = (time_us // HOUR_US)[known], value[known]
    if not len(hour):
        return 0, np.empty(0)
    begin = max(int(hour[0]), int(hour[-1]) - MOST_HOURS + 1)
    hour, value = hour[hour >= begin] - begin, value[hour >= begin]
    count = np.bincount(hour)
    with np.errstate(invalid="ignore"):
        return begin * HOUR_US, np.bincount(hour, value) / np.where(count, count, np.nan)


def profile(value: Float64, period: int = DAY) -> Float64:
    """Return the median of each place of a season, less their median; 0 where nothing is known.

    >>> profile(np.array([1.0, 5.0, 1.0, 5.0]), period=2).tolist()
    [-2.0, 2.0]
    """
    padded = np.full(-(-len(value) // period) * period, np.nan)
    padded[: len(value)] = value
    places = np.sort(padded.reshape(-1, period), axis=0)
    known = np.count_nonzero(~np.isnan(places), axis=0)
    middle = np.stack([(known - 1) // 2, known // 2])
    medians = np.take_along_axis(places, np.maximum(middle, 0), axis=0).mean(axis=0)
    if not known.any():
        return np.zeros(period)
    return np.where(known > 0, medians - np.median(medians[known > 0]), 0.0)


def filled(value: Float64) -> Float64:
    """Return values with their gaps filled: a straight line between what is around, and the time of day.

    Before the first value and after the last it stays level but for the time of day.

    >>> filled(np.array([1.0, np.nan, 3.0])).tolist()
    [1.0, 2.0, 3.0]
    """
    known = ~np.isnan(value)
    if known.all():
        return value
    daily = np.resize(profile(value), len(value)) if len(value) > DAY else np.zeros(len(value))
    place = np.arange(len(value))
    level = np.interp(place, place[known], (value - daily)[known])
    return np.where(known, value, level + daily)


def held(value: Float64) -> Float64:
    """Return values whose outliers are held at what is usual around them: a short burst is not a new level.

    The median is of the three hours before and after; the last hours have fewer, so that a new level is
    believed once three of them are on it.
    """
    if len(value) < 2 * DAY:
        return value
    daily = np.resize(profile(value), len(value))
    rest = np.pad(value - daily, 3, constant_values=np.nan)
    around = np.sort(np.lib.stride_tricks.sliding_window_view(rest, 7), axis=1)
    known = np.count_nonzero(~np.isnan(around), axis=1)
    below, above = (around[np.arange(len(value)), place // 2] for place in (known - 1, known))
    middle = (below + above) / 2
    away = value - daily - middle
    bound = OUTLIER * 1.4826 * float(np.median(np.abs(away)))
    if bound == 0.0:
        return value
    kept: Float64 = middle + daily + np.clip(away, -bound, bound)
    return kept
