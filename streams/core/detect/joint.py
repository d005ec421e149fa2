"""Joint deviation: metrics that each are as usual, but not in this company."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.core.batch import Float64, Int64
from streams.core.detect.detector import Detector, Measured
from streams.core.detect.deviation import HORIZON, LEAST_BAND
from streams.core.detect.memory import Field, Rows

SPAN = 15
"""Distances are averaged over about so many: one outlier breaks no company."""

FARTHEST = 25.0
"""So many times the usual distance at most counts of one reading."""

SHRINK = 0.05
"""Correlations are taken for so much smaller than they look: with perfect ones any rounding would count."""


class Joint(Detector):
    """The squared Mahalanobis distance of all signals together, from means and covariances that fade.

    ``statistic``, the same for each signal, is how many times the usual distance it was lately, less
    one. It has no direction. ``expected`` is each signal's mean, ``band`` its standard deviation.

    >>> detector, random = Joint(2), np.random.default_rng(1)
    >>> detector.grow(1)
    >>> signals = np.repeat(random.normal(size=(999, 1)), 2, axis=1) + 0.1 * random.normal(size=(999, 2))
    >>> signals[979:, 1] = random.normal(size=20)
    >>> for time_us, signal in enumerate(signals):
    ...     scores = detector.update(np.array([0]), np.array([time_us]), signal[None])
    >>> bool(scores.statistic[0, 0] > 3.0), bool(np.abs(signals[979:]).max() < 3.0)
    (True, True)
    """

    name = "joint"

    def _fields(self) -> Mapping[str, Field]:
        return {
            "mean": Field((self.columns,), np.float64),
            "covariance": Field((self.columns, self.columns), np.float64),
            "lately": Field((), np.float64, 1.0),
            "count": Field((), np.int64),
        }

    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        state = self._state
        mean, covariance, count = state["mean"][rows], state["covariance"][rows], state["count"][rows]
        away = signals - mean
        band = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        distance = np.where(count > self.columns, self._distance(away, mean, covariance, band), 1.0)
        lately = state["lately"][rows] + (np.minimum(distance, FARTHEST) - state["lately"][rows]) / SPAN
        weight = 1.0 / np.minimum(count + 1, HORIZON)
        step = weight[:, None] * away
        state["mean"][rows], state["count"][rows], state["lately"][rows] = mean + step, count + 1, lately
        product = step[:, :, None] * away[:, None, :]
        state["covariance"][rows] = (1.0 - weight)[:, None, None] * (covariance + product)
        statistic = np.maximum(lately - 1.0, 0.0)[:, None] * np.ones((1, self.columns))
        return Measured(statistic, mean, band)

    def _distance(self, away: Float64, mean: Float64, covariance: Float64, band: Float64) -> Float64:
        """Return the mean square of the differences, in standard deviations and free of correlation.

        The mean is over the signals that are not constant.
        """
        least = np.maximum(band, LEAST_BAND * np.abs(mean) + 1e-150)
        apart = np.clip(away / least, -1e6, 1e6)
        correlation = covariance / least[:, :, None] / least[:, None, :]
        correlation *= 1.0 - SHRINK
        places = np.arange(self.columns)
        correlation[:, places, places] = 1.0
        free = np.linalg.solve(correlation, apart[:, :, None])[:, :, 0]
        distance: Float64 = (apart * free).sum(axis=1) / np.maximum((band > 0.0).sum(axis=1), 1)
        return distance
