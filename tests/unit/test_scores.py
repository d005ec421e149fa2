from __future__ import annotations

import numpy as np

from streams.core.forecast.scores import covered, daily_error, pinball


def test_the_scale_of_errors_is_of_pairs_that_are_known() -> None:
    value = np.zeros(72)
    value[24] = 6.0
    value[5] = np.nan

    assert daily_error(value) == 12.0 / 47
    assert np.isnan(daily_error(np.zeros(24)))


def test_the_true_quantile_costs_least() -> None:
    actual = np.random.default_rng(0).normal(size=4000)
    guesses = np.linspace(-2, 2, 41)
    for quantile in (0.1, 0.5, 0.9):
        costs = [pinball(actual, np.full(4000, guess), quantile).mean() for guess in guesses]
        assert abs(guesses[int(np.argmin(costs))] - np.quantile(actual, quantile)) < 0.1


def test_bounds_are_within_and_unknown_hours_do_not_count() -> None:
    actual = np.array([0.0, 1.0, 2.0, np.nan])

    assert covered(actual, np.zeros(4), np.ones(4)) == 2 / 3
    assert np.isnan(covered(np.array([np.nan]), np.zeros(1), np.ones(1)))
