from __future__ import annotations

import warnings

import numpy as np
import pytest
from statsmodels.tools.sm_exceptions import ConvergenceWarning

from jobs.forecast import fits as module
from jobs.forecast.fits import MODELS, Model, fits
from streams.core.forecast.hours import DAY, WEEK
from streams.core.forecast.predict import Forecast, predict

HOURS = 4 * WEEK


def workdays(weekend: float = 0.3) -> np.ndarray:
    """Return hours that differ by day, and by week unless weekends are as other days, with noise."""
    hour = np.arange(HOURS + DAY)
    work = np.where(hour % WEEK < 5 * DAY, 1.0, weekend)
    return work * np.sin(2 * np.pi * hour / DAY) + 0.1 * np.random.default_rng(0).normal(size=len(hour))


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.fewest_hours > DAY])
def test_a_model_with_seasons_forecasts_seasons(name: str) -> None:
    value = workdays() if "week" in name else workdays(weekend=1.0)
    found = fits(value[:HOURS], DAY, [name])[name]

    assert np.abs(found - value[HOURS:]).mean() < 0.25 < np.abs(value[HOURS:]).mean()


@pytest.mark.parametrize("name", ["ETS", "Theta"])
def test_a_model_without_seasons_goes_on_from_the_last_level(name: str) -> None:
    value = np.where(np.arange(200) < 150, 0.0, 5.0) + 0.1 * np.random.default_rng(0).normal(size=200)

    np.testing.assert_allclose(fits(value, 3, [name])[name], 5.0, atol=0.5)


def test_a_model_needs_a_history_and_is_asked_only_where_wanted() -> None:
    assert set(fits(workdays()[:100], DAY, None)) == {"ETS", "ETS day", "Theta", "AR day"}
    assert set(fits(workdays()[:100], DAY, ["Theta", "AR week"])) == {"Theta"}
    assert fits(workdays()[:100], DAY, []) == {}


def test_one_that_warns_fails_or_explodes_is_no_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    def warns(_history: np.ndarray, horizon: int) -> np.ndarray:
        warnings.warn("not converged", ConvergenceWarning, stacklevel=1)
        return np.zeros(horizon)

    def fails(_history: np.ndarray, horizon: int) -> np.ndarray:
        raise np.linalg.LinAlgError("singular")

    monkeypatch.setattr(
        module,
        "MODELS",
        {
            "warns": Model(0, warns),
            "fails": Model(0, fails),
            "explodes": Model(0, lambda _, horizon: np.full(horizon, 1e9)),
            "is no number": Model(0, lambda _, horizon: np.full(horizon, np.nan)),
            "works": Model(0, lambda _, horizon: np.zeros(horizon)),
        },
    )

    assert list(fits(np.ones(50), 3, None)) == ["works"]


@pytest.mark.parametrize(
    "value", [np.zeros(200), np.tile([0.0, 1.0], 100), np.arange(200.0), np.eye(1, 200)[0]]
)
def test_odd_histories_have_an_answer(value: np.ndarray) -> None:
    for ahead in fits(value, DAY, None).values():
        assert np.isfinite(ahead).all() and len(ahead) == DAY


def test_a_forecast_with_them_is_the_same_each_time_and_in_any_unit() -> None:
    value = workdays()[: 2 * WEEK]
    found, again, other = (predict(each, DAY, fits) for each in (value, value, value * 1024 + 7))
    assert isinstance(found, Forecast) and isinstance(again, Forecast) and isinstance(other, Forecast)

    np.testing.assert_array_equal(again.p50, found.p50)
    np.testing.assert_allclose((other.p50 - 7) / 1024, found.p50, atol=1e-3)
    assert found.mase is not None and found.mase < 1
