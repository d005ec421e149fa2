from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.forecast.hours import DAY, HOUR_US, MOST_HOURS, by_hour, filled, held, profile, usable


def test_what_says_nothing_is_no_value() -> None:
    value = usable(np.array([np.nan, np.inf, -np.inf, 1e300, 1e140, -3.0]))

    np.testing.assert_array_equal(value, [np.nan, np.nan, np.nan, np.nan, 1e140, -3.0])


def test_hours_are_means_whatever_the_order_and_the_last_of_a_time_counts() -> None:
    time_us = np.array([5 * HOUR_US, HOUR_US + 1, HOUR_US, HOUR_US + 1])
    start_us, value = by_hour(time_us, np.array([7.0, 100.0, 2.0, 4.0]))

    assert start_us == HOUR_US
    np.testing.assert_array_equal(value, [3.0, np.nan, np.nan, np.nan, 7.0])


def test_of_a_long_series_the_latest_hours_are_looked_at() -> None:
    start_us, value = by_hour(np.array([0, 10**6 * HOUR_US]), np.array([1.0, 2.0]))

    assert (start_us, len(value)) == ((10**6 - MOST_HOURS + 1) * HOUR_US, MOST_HOURS)


def test_nothing_is_known_of_no_readings() -> None:
    start_us, value = by_hour(np.array([1]), np.array([np.inf]))

    assert (start_us, len(value)) == (0, 0)


def test_a_place_of_a_season_without_values_is_like_the_others() -> None:
    np.testing.assert_array_equal(
        profile(np.array([1.0, np.nan, 5.0, 3.0, np.nan, 5.0]), 3), [-1.5, 0.0, 1.5]
    )
    np.testing.assert_array_equal(profile(np.full(30, np.nan)), np.zeros(DAY))


def test_a_gap_is_filled_by_the_time_of_day_at_the_level_around() -> None:
    place = np.arange(10 * DAY)
    whole = np.sin(2 * np.pi * place / DAY) + np.where(place < 5 * DAY, 0.0, 10.0)
    gappy = whole.copy()
    gappy[2 * DAY : 2 * DAY + 30] = np.nan
    gappy[8 * DAY : 8 * DAY + 5] = np.nan

    np.testing.assert_allclose(filled(gappy), whole, atol=0.3)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4 * DAY))
def test_what_is_known_stays_and_all_else_is_filled(seed: int, hours: int) -> None:
    random = np.random.default_rng(seed)
    value = np.where(random.random(hours) < 0.5, np.nan, random.normal(size=hours))
    value[random.integers(hours)] = 1.0
    known = ~np.isnan(value)

    np.testing.assert_array_equal(filled(value)[known], value[known])
    assert np.isfinite(filled(value)).all()


def test_a_burst_is_held_and_a_new_level_is_believed() -> None:
    random = np.random.default_rng(1)
    value = np.sin(2 * np.pi * np.arange(7 * DAY) / DAY) + 0.1 * random.normal(size=7 * DAY)
    burst, shifted = value.copy(), value.copy()
    burst[100:102] = 50.0
    shifted[-3:] += 50.0

    assert np.abs(held(burst) - value).max() < 5.0
    np.testing.assert_allclose(held(shifted)[-2:], shifted[-2:], atol=5.0)


def test_values_that_are_mostly_the_same_stay_as_they_are() -> None:
    value = np.zeros(4 * DAY)
    value[10] = 7.0

    np.testing.assert_array_equal(held(value), value)
