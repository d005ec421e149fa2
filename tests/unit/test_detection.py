"""What is measured of detection, on series made here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from jobs.benchmark.designs import beginnings
from jobs.benchmark.detection import NOISES, by_episode, costs, draw, ours, surprises_of
from jobs.benchmark.nab import Labelled
from streams.core.batch import Points
from streams.core.detect.episodes import NOTICE
from streams.core.detect.lookout import Lookout


def labelled(seed: int) -> Labelled:
    values = np.random.default_rng(seed).normal(size=400)
    values[300:305] += 25.0
    return Labelled(f"made/{seed}.csv", np.arange(400) * 60_000_000, values, ((295, 320),))


def test_beginnings_are_those_of_episodes() -> None:
    one = labelled(1)
    (surprise,) = surprises_of([(one.time_us, one.value)])
    nothing = np.zeros(400, np.int16)
    seen = Lookout(most_series=1).update(Points(nothing.astype(np.int32), one.time_us, one.value, nothing))

    assert np.array_equal(beginnings(surprise, NOTICE), seen.began)


def test_plain_jumps_are_all_found() -> None:
    series = [labelled(seed) for seed in range(6)]
    found = ours(series, surprises_of([(one.time_us, one.value) for one in series]))

    assert found["standard"] > 80.0
    assert found["recall"] == 1.0


def test_precision_recall_and_delay_count_windows() -> None:
    one = labelled(1)
    found = by_episode([one], [np.isin(np.arange(400), [100, 308, 310])])

    assert (found["precision"], found["recall"]) == (0.5, 1.0)
    assert found["delay"] == pytest.approx(13 / 26)
    assert found["false_alarms_per_series_day"] == pytest.approx(1 / (339 / 1440))


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_finite_and_not_the_same_twice(name: str) -> None:
    random = np.random.default_rng(1)
    first, second = (NOISES[name](random, 500) for _ in range(2))

    assert np.isfinite(first).all()
    assert not np.array_equal(first, second)


def test_cost_is_that_of_a_series_by_each_way() -> None:
    found = costs(10)

    assert [result["name"].partition(",")[0] for result in found][-2:] == ["NumPy", "NumPy"]
    assert {result["bytes_per_series"] for result in found} == {Lookout(most_series=1).bytes_per_series}
    assert all(result["us_per_point"] > 0.0 for result in found)


def test_each_series_is_drawn(tmp_path: Path) -> None:
    one = labelled(1)
    draw([one], surprises_of([(one.time_us, one.value)]), tmp_path)

    assert [file.name for file in tmp_path.iterdir()] == ["made_1.png"]
