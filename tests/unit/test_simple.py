from __future__ import annotations

import numpy as np

from streams.core.forecast.hours import DAY, WEEK
from streams.core.forecast.simple import simple, usual


def test_each_is_what_was_at_that_hour_a_season_before() -> None:
    history = np.random.default_rng(0).normal(size=2 * WEEK)
    found = simple(history, WEEK + 3)

    assert set(found) == {"naive", "as a day ago", "as a week ago"}
    np.testing.assert_array_equal(found["naive"], np.full(WEEK + 3, history[-1]))
    np.testing.assert_array_equal(found["as a day ago"][:DAY], history[-DAY:])
    np.testing.assert_array_equal(found["as a day ago"][-3:], history[-DAY : 3 - DAY])
    np.testing.assert_array_equal(found["as a week ago"][:WEEK], history[-WEEK:])


def test_a_season_that_is_not_over_is_not_repeated() -> None:
    assert list(simple(np.zeros(DAY - 1), 1)) == ["naive"]
    assert list(usual(np.zeros(2 * WEEK - 1), 1)) == ["usual day"]


def test_one_odd_day_or_week_changes_nothing_of_what_is_usual() -> None:
    day, week = np.sin(np.arange(DAY)), np.sin(np.arange(WEEK))
    days, weeks = np.tile(day, 7), np.tile(week, 5)
    days[2 * DAY : 3 * DAY] = weeks[WEEK : 2 * WEEK] = 1000.0

    np.testing.assert_allclose(usual(days, DAY)["usual day"], day)
    np.testing.assert_allclose(usual(weeks, WEEK)["usual week"], week)


def test_from_now_is_as_far_off_as_the_last_day() -> None:
    history = np.tile(np.sin(np.arange(WEEK)), 4)
    history[-DAY:] += 5.0
    usual_week = np.tile(np.sin(np.arange(WEEK)), 4)[:WEEK]

    np.testing.assert_allclose(usual(history, 10)["usual week from now"], usual_week[:10] + 5.0)
