"""Whether a series rises or falls, how fast, and how sure that is: Mann-Kendall and Theil-Sen.

H. B. Mann, Nonparametric tests against trend (1945); P. K. Sen, Estimates of the regression coefficient based
on Kendall's tau (1968); K. H. Hamed and A. R. Rao, A modified Mann-Kendall trend test for autocorrelated data
(1998): neighbouring hours are alike, so that many of them say less than as many that are independent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from streams.core.batch import Float64, Int64
from streams.core.forecast.hours import DAY, MOST_HOURS, profile, usable

FEWEST_HOURS = 12
SURE = 0.05
"""A trend is significant where chance would show one like it more rarely."""

_Z = 1.959964


class Trend(NamedTuple):
    """What a value changes by in a day, between which bounds with 95 %, and how probable that is by chance.

    ``alike``: so many times fewer independent hours would say as much.
    """

    per_day: float
    low: float
    high: float
    p_value: float
    alike: float
    hours: int

    @property
    def significant(self) -> bool:
        """Whether it is no chance."""
        return self.p_value < SURE


def trend(value: Float64) -> Trend | None:
    """Return the trend of the latest hours, without the daily season; None where there are too few values.

    >>> found = trend(np.arange(100.0))
    >>> round(found.per_day, 6), found.significant
    (24.0, True)
    """
    value = usable(value)[-MOST_HOURS:]
    hour = np.flatnonzero(~np.isnan(value))
    if len(hour) < FEWEST_HOURS:
        return None
    known = value[hour]
    slope = _median(slopes(hour, known))
    if hour[-1] - hour[0] >= 2 * DAY:
        level = value - slope * np.arange(len(value))
        known = known - profile(level)[hour % DAY]
    found = np.sort(slopes(hour, known))
    slope = _median(found)
    alike = autocorrelated(known - slope * hour)
    deviation = math.sqrt(variance(known) * alike)
    score = float(np.count_nonzero(found > 0) - np.count_nonzero(found < 0))
    z = (score - math.copysign(1.0, score)) / deviation if score and deviation else 0.0
    beside = _Z * deviation / 2
    low = found[max(math.floor(len(found) / 2 - beside), 0)]
    high = found[min(math.ceil(len(found) / 2 + beside), len(found) - 1)]
    p_value = math.erfc(abs(z) / math.sqrt(2))
    return Trend(slope * DAY, float(low) * DAY, float(high) * DAY, p_value, alike, len(hour))


def slopes(place: Int64, value: Float64) -> Float64:
    """Return the slopes between all pairs: their median is Theil and Sen's.

    >>> slopes(np.array([0, 1, 3]), np.array([0.0, 1.0, 1.0])).tolist()
    [1.0, 0.3333333333333333, 0.0]
    """
    one, other = np.triu_indices(len(value), 1)
    between: Float64 = (value[other] - value[one]) / (place[other] - place[one])
    return between


def variance(value: Float64) -> float:
    """Return the variance of Kendall's score where there is no trend; ties lessen it."""
    count = len(value)
    _, tied = np.unique(value, return_counts=True)
    return float(count * (count - 1) * (2 * count + 5) - (tied * (tied - 1) * (2 * tied + 5)).sum()) / 18


def autocorrelated(value: Float64) -> float:
    """Return how many times larger the variance is as values are like those before them; 1 at least.

    Of the correlations of ranks the significant ones count, up to the first that is not.

    >>> autocorrelated(np.tile([1.0, -1.0], 50))
    1.0
    """
    count = len(value)
    _, order, tied = np.unique(value, return_inverse=True, return_counts=True)
    rank = (np.cumsum(tied) - tied / 2)[order]
    rank -= rank.mean()
    total = float(rank @ rank)
    if not total:
        return 1.0
    size = 2 * count
    spectrum = np.fft.rfft(rank, size)
    correlation = np.fft.irfft(spectrum * spectrum.conj(), size)[1 : count - 2] / total
    weak = np.flatnonzero(correlation < _Z / math.sqrt(count))
    seen = correlation[: weak[0] if len(weak) else None]
    # What is left beside a fitted trend looks less alike than it is, by (2 + 4 r) / n (M. G. Kendall, 1954).
    next_one = min(correlation[0] + (2 + 4 * correlation[0]) / count, 0.999) if len(seen) else 0.0
    return max(_times(seen, count), _times(next_one ** np.arange(1.0, count - 2), count))


def _times(correlation: Float64, count: int) -> float:
    lag = np.arange(1.0, len(correlation) + 1)
    weight = (count - lag) * (count - lag - 1) * (count - lag - 2)
    return 1.0 + 2.0 / (count * (count - 1.0) * (count - 2)) * float(weight @ correlation)


def _median(value: Float64) -> float:
    return float(np.median(value))
