from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jobs.benchmark.forecasts import TRACE, busy_hosts, groups_of, issues, judge
from streams.core.forecast.hours import DAY, MOST_HOURS
from streams.errors import UserError
from tests.forecasts import one_by_one


def test_each_day_is_forecast_from_what_was_before_it() -> None:
    value = np.arange(20.0 * DAY)
    issued = [(issue, known) for issue, known in issues({"a": value}, days=5)]

    assert [len(known) for _, known in issued] == [day * DAY for day in range(15, 20)]
    for issue, known in issued:
        np.testing.assert_array_equal(np.append(known, issue.actual), value[: len(known) + DAY])


def test_days_of_which_nothing_is_known_and_short_histories_are_left_out() -> None:
    value = np.arange(12.0 * DAY)
    value[9 * DAY : 10 * DAY] = np.nan

    assert [len(known) // DAY for _, known in issues({"a": value}, days=100)] == [7, 8, 10, 11]


def test_a_season_with_noise_is_forecast_better_than_as_a_day_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.benchmark.forecasts.predict_all", one_by_one)
    hour, random = np.arange(14 * DAY), np.random.default_rng(0)
    group = {"a": np.sin(2 * np.pi * hour / DAY) + 0.5 * random.normal(size=len(hour))}
    found = judge(group, days=3)

    assert (found["series"], found["forecasts"], found["better"]) == (1, 3, 1)
    assert found["mase"] < 0.9
    assert 0.5 < found["coverage"] <= 1.0


def test_made_up_hosts_are_the_same_each_time() -> None:
    one, again = (list(busy_hosts(2)) for _ in range(2))

    np.testing.assert_array_equal(one, again)
    assert len(one[0]) == MOST_HOURS and (one[0] != one[1]).all()


def test_without_data_it_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=TRACE.name):
        groups_of(tmp_path)
