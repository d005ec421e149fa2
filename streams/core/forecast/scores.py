"""How good forecasts were: against what happened, and against the simplest that there is.

MASE: R. J. Hyndman and A. B. Koehler, Another look at measures of forecast accuracy (2006). Pinball loss:
R. Koenker and G. Bassett, Regression quantiles (1978).
"""

from __future__ import annotations

import numpy as np

from streams.core.batch import Float64
from streams.core.forecast.hours import DAY

QUANTILES = (0.1, 0.5, 0.9)


def daily_error(history: Float64) -> float:
    """Return how far values are from those a day before, in the mean: errors are divided by it.

    >>> daily_error(np.arange(48.0))
    24.0
    """
    apart = np.abs(history[DAY:] - history[:-DAY])
    known = apart[~np.isnan(apart)]
    return float(known.mean()) if len(known) else float("nan")


def pinball(actual: Float64, predicted: Float64, quantile: float) -> Float64:
    """Return what a predicted quantile costs: it is least in the mean where it is the true one.

    >>> pinball(np.array([3.0]), np.array([1.0]), 0.9).tolist()
    [1.8]
    """
    above = actual - predicted
    return np.maximum(quantile * above, (quantile - 1) * above)


def covered(actual: Float64, low: Float64, high: Float64) -> float:
    """Return which share of the known values is within its bounds; NaN where none is known.

    >>> covered(np.array([1.0, 2.0, np.nan]), np.zeros(3), np.ones(3))
    0.5
    """
    known = ~np.isnan(actual)
    inside = (low[known] <= actual[known]) & (actual[known] <= high[known])
    return float(inside.mean()) if known.any() else float("nan")
