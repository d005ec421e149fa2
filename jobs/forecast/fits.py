"""The models of statsmodels that compete for a series: ETS, Theta, autoregression, and STL with it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import numpy as np
from statsmodels.tools.sm_exceptions import ModelWarning
from statsmodels.tsa.ar_model import AutoReg
from statsmodels.tsa.forecasting.theta import ThetaModel
from statsmodels.tsa.holtwinters import ExponentialSmoothing, SimpleExpSmoothing
from statsmodels.tsa.seasonal import STL

from streams.core.batch import Float64
from streams.core.forecast.hours import DAY, WEEK

RECENT = 4 * WEEK
"""Models without a weekly season are given so many hours: what was before changes little of them."""

_FAILURES = (ValueError, ArithmeticError, np.linalg.LinAlgError, ModelWarning, RuntimeWarning)


class Model(NamedTuple):
    """A model, and of how many hours at least its history has to be."""

    fewest_hours: int
    ahead: Callable[[Float64, int], Any]


def fits(history: Float64, horizon: int, wanted: Collection[str] | None = None) -> dict[str, Float64]:
    """Return what models say of the hours after a history without gaps, by name; all, or those wanted.

    One that fails, warns, does not converge or says what is no number is not among them.

    >>> sorted(fits(np.sin(np.arange(96.0)), 3, wanted=["ETS", "Theta"]))
    ['ETS', 'Theta']
    """
    found = {}
    for name, model in MODELS.items():
        if len(history) < model.fewest_hours or (wanted is not None and name not in wanted):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("error", ModelWarning)
            warnings.simplefilter("error", RuntimeWarning)
            try:
                ahead = np.asarray(model.ahead(history, horizon))
            except _FAILURES:
                continue
        if np.isfinite(ahead).all() and _sane(ahead, history):
            found[name] = ahead
    return found


def _sane(ahead: Float64, history: Float64) -> bool:
    """Models are given values whose middle is 0: one that explodes is wrong."""
    return bool(np.abs(ahead).max() <= 10 * np.abs(history).max() + 1)


def _ets(history: Float64, horizon: int) -> Any:
    return SimpleExpSmoothing(history[-RECENT:], initialization_method="estimated").fit().forecast(horizon)


def _ets_day(history: Float64, horizon: int) -> Any:
    model = ExponentialSmoothing(
        history[-RECENT:], seasonal="add", seasonal_periods=DAY, initialization_method="heuristic"
    )
    return model.fit().forecast(horizon)


def _theta(history: Float64, horizon: int) -> Any:
    return ThetaModel(history[-RECENT:], deseasonalize=False).fit().forecast(horizon)


def _ar_day(history: Float64, horizon: int) -> Any:
    return AutoReg(history[-RECENT:], lags=[1, 2, 3, DAY], seasonal=True, period=DAY).fit().forecast(horizon)


def _ar_week(history: Float64, horizon: int) -> Any:
    lags = [1, 2, 3, DAY, DAY + 1, WEEK, WEEK + 1]
    return AutoReg(history, lags=lags, seasonal=True, period=DAY).fit().forecast(horizon)


def _stl_week(history: Float64, horizon: int) -> Any:
    """Its smooth curves are computed at each 28th hour, and are straight in between."""
    stl = STL(history, period=WEEK, seasonal=31, seasonal_jump=3, trend_jump=28, low_pass_jump=28)
    seasonal = stl.fit().seasonal
    level = AutoReg(history - seasonal, lags=3).fit().forecast(horizon)
    return level + np.resize(seasonal[-WEEK:], horizon)


MODELS = {
    "ETS": Model(DAY, _ets),
    "ETS day": Model(3 * DAY, _ets_day),
    "Theta": Model(DAY, _theta),
    "AR day": Model(4 * DAY, _ar_day),
    "AR week": Model(3 * WEEK, _ar_week),
    "STL week + AR": Model(3 * WEEK, _stl_week),
}
