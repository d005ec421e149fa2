"""One forecast of one series: the models that were best on the days before, and how far off they were."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np

from streams.core.batch import Float64
from streams.core.forecast.backtest import Fits, ahead_of, choose, median_of, no_fits, origins_of
from streams.core.forecast.bands import Bands
from streams.core.forecast.hours import DAY, MOST_HOURS, usable
from streams.core.forecast.scores import daily_error

FEWEST_ORIGINS = 2


class Unpredictable(enum.StrEnum):
    """Why there is no forecast."""

    NO_READINGS = "no readings"
    SILENT = "silent for a day"
    TOO_SHORT = "too few days"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a series will do, hour by hour: each hour's value is below these with 10, 50 and 90 %.

    ``error``: mean absolute error of the same models on the days before; ``scale``: how far values are from
    those a day before; ``latest``: the last value.
    """

    models: tuple[str, ...]
    p10: Float64
    p50: Float64
    p90: Float64
    error: float
    scale: float
    latest: float
    bands: Bands

    @property
    def model(self) -> str:
        """What the forecast is: one of the simplest, or the median of others."""
        return self.models[0] if len(self.models) == 1 else f"median of {', '.join(self.models)}"

    @property
    def mase(self) -> float | None:
        """The error on the days before, by how far values are from those a day before; None: by nothing."""
        return self.error / self.scale if self.scale and math.isfinite(self.scale) else None

    def paths(self, count: int) -> Float64:
        """Return possible futures, a row each; the same ones each time."""
        return self.p50 + self.bands.paths(count)


def predict(value: Float64, horizon: int, fits: Fits) -> Forecast | Unpredictable:
    """Return the forecast of the hours after the last of ``value``; NaN is an hour without one.

    Models see values less their middle, by their mean distance from it: so units make no difference.
    """
    value = usable(value)[-MOST_HOURS:]
    known = np.flatnonzero(~np.isnan(value))
    if not len(known):
        return Unpredictable.NO_READINGS
    if np.isnan(value[-DAY:]).all():
        return Unpredictable.SILENT
    value = value[known[0] :]
    origins = origins_of(len(value), horizon)
    if len(origins) < FEWEST_ORIGINS:
        return Unpredictable.TOO_SHORT
    middle = float(np.nanmedian(value))
    size = float(np.nanmean(np.abs(value - middle))) or 1.0
    scaled = (value - middle) / size
    choice = choose(scaled, origins, horizon, fits)
    ahead = ahead_of(scaled, horizon, fits, choice.models)
    if not any(name in ahead for name in choice.models):
        choice = choose(scaled, origins, horizon, no_fits)
    p50 = median_of(ahead, choice.models) * size + middle
    bands = Bands.of(choice.errors * size)
    return Forecast(
        choice.models,
        np.minimum(p50 + bands.below(0.1), p50),
        p50,
        np.maximum(p50 + bands.below(0.9), p50),
        choice.error * size,
        daily_error(value),
        float(value[~np.isnan(value)][-1]),
        bands,
    )
