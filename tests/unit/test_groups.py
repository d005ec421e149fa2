"""Machines of a kind and metrics of a machine, by closed buckets."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.batch import Float64
from streams.core.detect.episodes import Episode
from streams.core.detect.groups import REASONS, Groups, Named

STEP_US = 300_000_000
MACHINES, COUNT, FAULT = 8, 450, 400
METRICS = ("load", "power", "heat")


def named() -> list[Named]:
    return [
        Named(machine * len(METRICS) + place, "default", f"web-{machine}/psu=0", metric)
        for machine in range(MACHINES)
        for place, metric in enumerate(METRICS)
    ]


def usual() -> Float64:
    """Metrics of a machine go together, machines do not; each has a level of its own."""
    random = np.random.default_rng(1)
    load = random.normal(size=(COUNT, MACHINES, 1))
    own = 0.2 * random.normal(size=(COUNT, MACHINES, len(METRICS)))
    return load + own + np.arange(MACHINES)[:, None]


def told(values: Float64, restart_at: int = -1, order: int = 1) -> list[Episode]:
    groups, episodes = Groups(), list[Episode]()
    groups.introduce(named())
    series = np.arange(values[0].size)
    for bucket, mean in enumerate(values.reshape(len(values), -1)):
        if bucket == restart_at:
            snapshot, groups = groups.snapshot(), Groups()
            groups.introduce([*named(), Named(99, "default", "new", "load")])
            groups.restore(snapshot)
        episodes += groups.update(bucket * STEP_US, series[::order], mean[::order]).ended
    return [*episodes, *groups.open()]


def reasons(episodes: list[Episode]) -> set[tuple[int, str]]:
    return {(episode.series, REASONS[episode.reason][0]) for episode in episodes}


def test_usual_machines_are_usual_however_unlike() -> None:
    assert told(usual()) == []


def test_a_machine_that_becomes_unlike_its_peers_is_told_of() -> None:
    values = usual()
    values[FAULT:, 3, :] += 30.0

    assert {(9 + place, "peers") for place in range(3)} <= reasons(told(values))


def test_what_happens_to_all_machines_alike_is_none_of_one() -> None:
    values = usual()
    values[FAULT:] += 30.0

    assert "peers" not in {detector for _, detector in reasons(told(values))}


def test_a_metric_that_leaves_its_company_is_told_of() -> None:
    values = usual()
    values[FAULT:, 5, 1] = 5.0 + np.random.default_rng(2).normal(size=COUNT - FAULT)
    found = told(values)

    assert {(series // 3, detector) for series, detector in reasons(found)} == {(5, "joint")}
    assert FAULT * STEP_US < found[0].start_us < (FAULT + 30) * STEP_US


@pytest.mark.parametrize("restart_at", [5, FAULT + 3])
def test_neither_restarts_nor_the_order_of_rows_matter(restart_at: int) -> None:
    values = usual()
    values[FAULT:, 3, :] += 30.0

    assert sorted(told(values, restart_at, -1)) == sorted(told(values)) != []


def test_few_machines_have_no_peers_and_one_metric_no_company() -> None:
    groups = Groups()
    groups.introduce([Named(number, "default", f"web-{number}", "load") for number in range(4)])
    values = np.random.default_rng(1).normal(size=(COUNT, 4))
    values[FAULT:, 2] += 50.0
    begun = [groups.update(bucket * STEP_US, np.arange(4), mean).begun for bucket, mean in enumerate(values)]

    assert not any(begun)


def test_a_new_metric_of_a_node_begins_it_anew() -> None:
    values = usual()[:, :1, :]
    groups = Groups()
    groups.introduce(named()[:3])
    for bucket, mean in enumerate(values.reshape(COUNT, -1)):
        shown = np.arange(2 if bucket < FAULT else 3)
        assert groups.update(bucket * STEP_US, shown, mean[shown]).begun == []


def test_what_is_no_number_is_passed_over() -> None:
    groups = Groups()
    groups.introduce(named())
    mean = np.full(MACHINES * len(METRICS), np.nan)

    assert groups.update(0, np.arange(len(mean)), mean) == ([], [])
    assert groups.update(STEP_US, np.empty(0, np.int64), np.empty(0)) == ([], [])
