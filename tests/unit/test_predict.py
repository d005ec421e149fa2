from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.batch import Float64
from streams.core.forecast.backtest import no_fits
from streams.core.forecast.predict import Forecast, Unpredictable, predict

DAYS, DAY = 21, 24


def series(seed: int, days: int = DAYS) -> Float64:
    random, hour = np.random.default_rng(seed), np.arange(days * DAY)
    return 10 + 3 * np.sin(2 * np.pi * hour / DAY) + random.normal(size=len(hour))


def forecast(value: Float64, horizon: int = DAY) -> Forecast:
    found = predict(value, horizon, no_fits)
    assert isinstance(found, Forecast)
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-1e4, 1e4), st.integers(-200, 200))
def test_units_make_no_difference(seed: int, shift: float, power: int) -> None:
    value, scale = series(seed, days=9), 2.0**power
    plain, other = forecast(value), forecast((value + shift) * scale)

    assert other.models == plain.models
    for name in ("p10", "p50", "p90"):
        np.testing.assert_allclose(getattr(other, name) / scale - shift, getattr(plain, name), atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 100))
def test_quantiles_are_in_order_and_of_each_hour(seed: int, horizon: int) -> None:
    random = np.random.default_rng(seed)
    value = np.where(random.random(DAYS * DAY) < 0.3, np.nan, random.lognormal(size=DAYS * DAY))
    value[-1] = 1.0
    found = forecast(value, horizon)

    assert len(found.p10) == len(found.p50) == len(found.p90) == horizon
    assert (found.p10 <= found.p50).all() and (found.p50 <= found.p90).all()
    assert found.paths(3).shape == (3, horizon)


def test_most_of_what_happens_is_within_the_bounds() -> None:
    inside = [
        np.mean((actual >= found.p10) & (actual <= found.p90))
        for seed in range(40)
        for value in [series(seed)]
        for found, actual in [(forecast(value[:-DAY]), value[-DAY:])]
    ]

    assert np.mean(inside) == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([], Unpredictable.NO_READINGS),
        ([np.nan] * 500, Unpredictable.NO_READINGS),
        ([np.inf, 1e300, -np.inf] * 100, Unpredictable.NO_READINGS),
        ([1.0, 2.0], Unpredictable.TOO_SHORT),
        ([1.0] * 100, Unpredictable.TOO_SHORT),
        ([*[1.0] * 300, *[np.nan] * 24], Unpredictable.SILENT),
    ],
)
def test_what_cannot_be_forecast_says_why(value: list[float], reason: Unpredictable) -> None:
    assert predict(np.array(value), DAY, no_fits) == reason


def test_a_constant_stays_without_doubt() -> None:
    found = forecast(np.full(300, 7.0))

    assert found.model == "naive"
    assert (found.p10 == 7.0).all() and (found.p90 == 7.0).all()
    assert found.mase is None


@pytest.mark.parametrize("odd", [np.inf, -np.inf, 1e300, np.nan])
def test_values_that_say_nothing_are_gaps(odd: float) -> None:
    value, gappy = series(1), series(1)
    value[100:103], gappy[100:103] = odd, np.nan

    np.testing.assert_array_equal(forecast(value).p50, forecast(gappy).p50)


def test_large_values_and_a_level_that_moved_are_forecast() -> None:
    value = series(2)
    value[-3 * DAY :] += 100.0

    assert abs(forecast(value).p50.mean() - 110) < 2
    np.testing.assert_allclose(forecast(series(2) * 1e138).p50, forecast(series(2)).p50 * 1e138)


def test_where_all_chosen_models_fail_at_last_others_are_chosen() -> None:
    value = series(3)

    def until_now(history: Float64, horizon: int, _wanted: Collection[str] | None) -> dict[str, Float64]:
        if len(history) == len(value):
            return {}
        middle, size = np.median(value), np.abs(value - np.median(value)).mean()
        right = (value[len(history) : len(history) + horizon] - middle) / size
        return {f"oracle {number}": right for number in range(5)}

    assert "oracle 0" not in forecast_with(value, until_now).models


def forecast_with(value: Float64, fits: object) -> Forecast:
    found = predict(value, DAY, fits)  # type: ignore[arg-type]
    assert isinstance(found, Forecast)
    return found
