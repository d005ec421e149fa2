"""Forecasts for tests that are about something else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from streams.core.batch import Float64
from streams.core.forecast.backtest import no_fits
from streams.core.forecast.predict import Forecast, Unpredictable, predict

T = TypeVar("T")


def one_by_one(
    series: Iterable[tuple[T, Float64]],
    horizon: int,
    processes: int = 1,
) -> Iterator[tuple[T, Forecast | Unpredictable]]:
    """Forecast in this process, and without models, which is quicker."""
    for name, value in series:
        yield name, predict(value, horizon, no_fits)
