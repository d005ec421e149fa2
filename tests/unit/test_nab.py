"""NAB's score: by hand, against its published scores, and where its data is not."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from jobs.benchmark.baselines import windowed_gaussian
from jobs.benchmark.nab import (
    PROFILES,
    Labelled,
    Profile,
    by_folder,
    cross_validated,
    data_folder,
    raw_score,
    read_series,
    scaled,
    score,
    sigmoid,
)
from streams.errors import UserError

NAB = data_folder() / "nab"
STANDARD = PROFILES["standard"]

# Of NAB's results/windowedGaussian/windowedGaussian_standard_scores.csv: raw scores at threshold 1. These
# are series on which our copy of that detector agrees with the published run; on 13 of 35 it does
# not, for reasons that are not known, so they say nothing of the score.
PUBLISHED = {
    "realTraffic/TravelTime_387.csv": -1.7959813307852819,
    "realTraffic/occupancy_6005.csv": -1.0,
    "realAWSCloudwatch/ec2_cpu_utilization_24ae8d.csv": -1.266678759349383,
    "realAWSCloudwatch/ec2_cpu_utilization_5f5533.csv": -2.0,
    "realAWSCloudwatch/ec2_network_in_257a54.csv": 0.8606718242697022,
    "realAWSCloudwatch/elb_request_count_8c0756.csv": -0.13844919792440225,
    "realAWSCloudwatch/rds_cpu_utilization_cc0c53.csv": -0.13844919792440225,
    "realAdExchange/exchange-3_cpc_results.csv": 2.5026632611866138,
    "realAdExchange/exchange-3_cpm_results.csv": 0.862098587352162,
    "realAdExchange/exchange-4_cpm_results.csv": 1.274710362684976,
    "realKnownCause/rogue_agent_key_hold.csv": -2.44,
    "realKnownCause/ambient_temperature_system_failure.csv": -2.0,
    "artificialNoAnomaly/art_flatline.csv": 0.0,
}


@cache
def series_of_nab() -> dict[str, Labelled]:
    return {one.name: one for one in read_series(NAB)}


def made(windows: tuple[tuple[int, int], ...] = ((50, 59),), count: int = 100) -> Labelled:
    return Labelled("made", np.arange(count), np.zeros(count), windows)


def at(*places: int) -> np.ndarray:
    return np.isin(np.arange(100), places)


@pytest.mark.skipif(not NAB.is_dir(), reason="STREAMGAUGE_DATA has no NAB series")
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_simple_detector_scores_what_was_published(name: str) -> None:
    series = series_of_nab()[name]

    assert raw_score(series, windowed_gaussian(series) >= 1.0, STANDARD) == pytest.approx(PUBLISHED[name])


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_all_at_once_is_100_and_silence_is_0(profile: Profile) -> None:
    series = [made(((30, 39), (60, 69))), made()]
    perfect = [at(30, 60), at(50)]

    assert score(series, perfect, profile) == pytest.approx(100.0)
    assert score(series, [at(), at()], profile) == 0.0


def test_only_the_first_alarm_in_a_window_counts() -> None:
    assert raw_score(made(), at(53, 54, 59), STANDARD) == raw_score(made(), at(53), STANDARD)
    assert raw_score(made(), at(53), STANDARD) < raw_score(made(), at(52), STANDARD)
    worth = sigmoid(np.array([-7 / 10]))[0] / sigmoid(np.array([-1.0]))[0]
    assert raw_score(made(), at(53), STANDARD) == pytest.approx(worth)


@pytest.mark.parametrize(
    ("place", "cost"),
    [(20, -0.11), (14, 0.0), (63, 0.11 * sigmoid(np.array([4 / 9]))[0]), (99, -0.11)],
    ids=["before all", "on probation", "just behind", "far behind"],
)
def test_a_false_alarm_costs_by_its_place(place: int, cost: float) -> None:
    assert raw_score(made(), at(place), STANDARD) == pytest.approx(-1.0 + cost)


def test_profiles_weigh_differently() -> None:
    costs = [raw_score(made(), at(20), profile) for profile in PROFILES.values()]

    assert costs == pytest.approx([-1.11, -1.22, -2.11])


def test_probation_is_a_share_of_so_many_readings_at_most() -> None:
    assert [made(count=count).probation for count in (100, 4032, 5000, 22695)] == [15, 604, 750, 750]


def test_a_threshold_is_scored_on_other_series_than_it_was_chosen_on() -> None:
    series = [made() for _ in range(10)]
    raw = np.eye(10)  # each series has a threshold of its own that finds it
    found = cross_validated(series, raw, STANDARD)

    assert found.cross_validated == scaled(0.0, 10, STANDARD)
    assert found.chosen_on > found.cross_validated


def test_a_folder_is_scored_by_what_was_chosen_on_the_others() -> None:
    series = [replace(made(), name=f"{folder}/{number}.csv") for folder in "abc" for number in range(2)]
    raw = np.repeat(np.eye(3), 2, axis=0)  # each folder has a threshold of its own that finds it

    assert by_folder(series, raw, STANDARD) == scaled(0.0, 6, STANDARD)
    assert by_folder(series, np.ones((6, 3)), STANDARD) == 100.0


def test_a_folder_without_series_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no labelled series"):
        read_series(tmp_path)
