from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.batch import Float64
from streams.core.forecast.trend import autocorrelated, slopes, trend, variance


def autoregressive(random: np.random.Generator, hours: int, share: float) -> Float64:
    value, shocks = np.zeros(hours), random.normal(size=hours)
    for hour in range(1, hours):
        value[hour] = share * value[hour - 1] + shocks[hour]
    return value


@settings(max_examples=30)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_slopes_are_those_of_all_pairs(values: list[float]) -> None:
    place, value = np.arange(len(values)) * 2, np.array(values)
    pairs = [(i, j) for i in range(len(values)) for j in range(i + 1, len(values))]
    wanted = [(values[j] - values[i]) / (place[j] - place[i]) for i, j in pairs]

    np.testing.assert_array_equal(slopes(place, value), wanted)


def test_the_variance_of_kendalls_score_is_that_of_all_orders() -> None:
    random, value = np.random.default_rng(0), np.array([1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 4.0, 5.0])
    scores = []
    for _ in range(20_000):
        random.shuffle(value)
        scores.append(np.sign(value[None, :] - value[:, None])[np.triu_indices(8, 1)].sum())

    assert np.var(scores) == pytest.approx(variance(value), rel=0.05)


def test_a_trend_is_found_below_a_season_outliers_and_gaps() -> None:
    random, hour = np.random.default_rng(1), np.arange(480)
    value = 0.05 * hour + 3 * np.sin(2 * np.pi * hour / 24) + random.normal(size=480)
    value[random.integers(0, 480, 40)] = np.nan
    value[random.integers(0, 480, 10)] = 1e6
    found = trend(value)

    assert found is not None and found.significant
    assert found.low < 0.05 * 24 < found.high
    assert found.per_day == pytest.approx(0.05 * 24, rel=0.1)


def test_a_daily_season_hides_no_small_trend() -> None:
    hour = np.arange(240)
    value = 0.01 * hour + 50 * np.sin(2 * np.pi * hour / 24) + 0.1 * np.random.default_rng(3).normal(size=240)
    found = trend(value)

    assert found is not None and found.significant
    assert 0.2 < found.low < 0.24 < found.high < 0.28


def test_what_only_wanders_is_rarely_a_trend() -> None:
    """Without regard to how alike neighbouring hours are, most of these would be."""
    random = np.random.default_rng(2)
    found = [trend(autoregressive(random, 480, 0.9)) for _ in range(40)]

    assert sum(each is not None and each.significant for each in found) <= 6
    assert all(each is not None and each.alike > 4 for each in found)


def test_independent_hours_count_each() -> None:
    assert autocorrelated(np.random.default_rng(5).normal(size=500)) < 1.3
    assert autocorrelated(np.ones(50)) == 1.0


@pytest.mark.parametrize("value", [[], [1.0, 2.0], [np.nan] * 100, [np.inf] * 50, [1e300] * 50])
def test_there_is_no_trend_of_too_little(value: list[float]) -> None:
    assert trend(np.array(value)) is None


def test_a_constant_has_none() -> None:
    found = trend(np.full(100, 7.0))

    assert found is not None and not found.significant
    assert (found.per_day, found.low, found.high, found.p_value) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize(("shift", "scale"), [(1e6, 1.0), (0.0, 1e-9), (-5.0, 1e120)])
def test_units_make_no_difference(shift: float, scale: float) -> None:
    value = autoregressive(np.random.default_rng(4), 300, 0.5) + 0.01 * np.arange(300)
    plain, other = trend(value), trend(value * scale + shift)

    assert plain is not None and other is not None
    assert other.per_day == pytest.approx(plain.per_day * scale, rel=1e-4)
    assert other.p_value == pytest.approx(plain.p_value, rel=1e-3)
