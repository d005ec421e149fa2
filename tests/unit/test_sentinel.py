"""All rules of many series: what each tells of, and that cuts and restarts change nothing."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.batch import Float64, Points
from streams.core.detect.episodes import Episode, Severity
from streams.core.detect.lookout import Lookout
from streams.core.detect.rules import KINDS, Rule
from streams.core.detect.sentinel import REASONS, Sentinel, Watched

STEP_US = 300_000_000
COUNT, FAULT = 700, 600
KIND_OF = ["gauge", "counter", "state", "gauge"]


def rules_of(series: np.ndarray) -> np.ndarray:
    return np.array([int(KINDS[KIND_OF[each % 4]]) for each in series], np.int64)


def values(kind: str, seed: int = 1) -> Float64:
    random = np.random.default_rng(seed)
    if kind == "counter":
        return np.cumsum(random.integers(1, 9, COUNT)).astype(np.float64)
    if kind == "state":
        return np.where(np.arange(COUNT) % 50 < 45, 1.0, 2.0)
    return random.normal(size=COUNT)


def points_of(series: int, value: Float64, first: int = 0) -> Points:
    times_us = STEP_US * (first + np.arange(len(value)))
    return Points(np.full(len(value), series, np.int32), times_us, value, np.zeros(len(value), np.int16))


def stuck(value: Float64) -> Float64:
    value[FAULT : FAULT + 40] = value[FAULT]
    return value


def resets(value: Float64) -> Float64:
    for at in range(FAULT, FAULT + 16, 2):
        value[at:] -= value[at] - 1.0
    return value


def one_reset(value: Float64) -> Float64:
    value[FAULT:] -= value[FAULT] - 1.0
    return value


def leap(value: Float64) -> Float64:
    value[FAULT:] += 900.0
    return value


def new_state(value: Float64) -> Float64:
    value[FAULT : FAULT + 3] = 7.0
    return value


def flapping(value: Float64) -> Float64:
    value[FAULT : FAULT + 40 : 2] = 2.0
    return value


def silent(value: Float64) -> Float64:
    value[FAULT : FAULT + 50] = np.nan
    return value


@pytest.mark.parametrize(
    ("kind", "fault", "detectors"),
    [
        ("gauge", stuck, {"flat_line"}),
        ("gauge", silent, {"silence"}),
        ("counter", stuck, {"flat_line"}),
        ("counter", resets, {"resets"}),
        ("counter", one_reset, set()),
        ("counter", leap, set()),
        ("state", new_state, {"new_state"}),
        ("state", flapping, {"flapping"}),
        ("state", stuck, set()),
    ],
)
def test_each_kind_has_faults_of_its_own(
    kind: str, fault: Callable[[Float64], Float64], detectors: set[str]
) -> None:
    series = KIND_OF.index(kind)
    sentinel = Sentinel(4, rules_of)
    before = sentinel.update(points_of(series, values(kind)[:FAULT]))
    told = sentinel.update(points_of(series, fault(values(kind))[FAULT:], FAULT))

    assert before.begun == []
    assert {REASONS[episode.reason][0] for episode in told.begun} == detectors


def test_a_reset_is_nothing_and_a_leap_is() -> None:
    for fault, began in ((one_reset, []), (leap, [FAULT])):
        told = Sentinel(4, rules_of).update(points_of(1, fault(values("counter"))))
        assert [place for place in np.flatnonzero(told.began).tolist() if place >= FAULT] == began


def test_a_stuck_sensor_is_told_from_where_it_stuck_to_where_it_moved() -> None:
    told = Sentinel(1).update(points_of(0, stuck(values("gauge"))))
    (episode,) = (each for each in told.ended if REASONS[each.reason][0] == "flat_line")

    assert (episode.start_us, episode.end_us) == (FAULT * STEP_US, (FAULT + 39) * STEP_US)
    assert episode.severity >= Severity.HIGH


def test_nothing_but_values_is_told_of_the_first_day() -> None:
    value = values("gauge")
    value[100:160] = 0.5
    told = Sentinel(1).update(points_of(0, value[:280]))

    assert told.begun == []


def test_values_are_judged_as_by_a_lookout() -> None:
    points = Points.concat([points_of(series, values("gauge", series)) for series in (0, 3)])
    found, expected = Sentinel(4, rules_of).update(points), Lookout(4).update(points)

    columns: list[np.ndarray] = [*expected.findings, expected.began]
    for column, same in zip(flat(found), columns, strict=True):
        assert np.array_equal(column, same)


def test_silence_is_told_of_while_it_lasts_by_who_asks() -> None:
    asked, other = Sentinel(1), Sentinel(1)
    value = values("gauge")
    parts = points_of(0, value[:FAULT]), points_of(0, value[FAULT:], FAULT + 50)
    for sentinel in (asked, other):
        sentinel.update(parts[0])
    last_us = int(parts[0].time_us[-1])
    silences = [asked.silent(last_us + late * STEP_US) for late in (2, 3, 4, 50)]

    assert [len(told) for told in silences] == [0, 1, 0, 0]
    assert silences[1][0].start_us == last_us
    assert asked.update(parts[1]).ended == other.update(parts[1]).ended != []


def all_points() -> Points:
    faults = (stuck, resets, flapping, leap)
    return Points.concat(
        [points_of(series, fault(values(KIND_OF[series], series))) for series, fault in enumerate(faults)]
    )


def flat(watched: Watched) -> tuple[np.ndarray, ...]:
    return (*watched.findings, watched.began)


@given(st.lists(st.integers(0, COUNT), max_size=4), st.booleans())
@settings(max_examples=10)
def test_neither_cuts_nor_restarts_matter(cuts: list[int], restart: bool) -> None:
    points, sentinel, everyone = all_points(), Sentinel(4, rules_of), np.arange(4)
    whole = Sentinel(4, rules_of).update(points)
    number = np.tile(np.arange(COUNT), 4)
    found = [np.empty_like(column) for column in flat(whole)]
    begun, ended, usual = list[Episode](), list[Episode](), list[Episode]()
    for start, end in pairwise([0, *sorted(cuts), COUNT]):
        chosen = (number >= start) & (number < end)
        watched = sentinel.update(points.take(chosen))
        for column, part in zip(found, flat(watched), strict=True):
            column[chosen] = part
        begun, ended, usual = begun + watched.begun, ended + watched.ended, usual + watched.usual
        if restart:
            snapshot = sentinel.snapshot(everyone)
            sentinel = Sentinel(4, rules_of)
            sentinel.restore(everyone[::-1], {name: array[::-1] for name, array in snapshot.items()})

    for column, same in zip(found, flat(whole), strict=True):
        assert np.array_equal(column, same)
    assert sorted(begun) == sorted(whole.begun)
    assert sorted(ended) == sorted(whole.ended)
    assert sorted(usual) == sorted(whole.usual)


def test_a_level_that_stayed_is_usual_at_the_end() -> None:
    value = values("gauge")
    value[300:303] += 40.0
    value[500:] += 45.0
    watched = Sentinel(1).update(points_of(0, value))

    assert [episode.start_us // STEP_US for episode in watched.ended] == [300, 501]
    assert [episode.start_us // STEP_US for episode in watched.usual] == [501]


@pytest.mark.parametrize(
    "value", [np.full(400, np.nan), np.full(400, 5.0), np.array([1.0, 2.0]), np.empty(0)]
)
def test_nothing_is_told_where_there_is_nothing(value: Float64) -> None:
    watched = Sentinel(1).update(points_of(0, value))

    assert (watched.begun, watched.ended) == ([], [])


@pytest.mark.parametrize("series", range(3))
def test_extreme_values_are_numbers(series: int) -> None:
    extreme = np.resize([1e300, -1e300, 0.0, 5e-324, np.inf, 1.0], 500)
    watched = Sentinel(1, rules_of).update(points_of(series, extreme))

    assert all(np.isfinite(column).all() for column in watched.findings)


def test_readings_that_are_not_later_teach_nothing() -> None:
    points = points_of(0, stuck(values("gauge")))
    back = np.insert(np.arange(COUNT), np.arange(5, COUNT), np.arange(COUNT - 5))
    twice = Sentinel(1).update(points.take(back))

    assert twice.ended == Sentinel(1).update(points).ended != []


def test_more_series_at_once_than_there_is_room_for() -> None:
    points = all_points()
    one, all_of_them = Sentinel(1, rules_of), Sentinel(4, rules_of)
    few, whole = one.update(points), all_of_them.update(points)

    assert np.array_equal(few.findings.surprise, whole.findings.surprise)
    assert sorted(few.begun) == sorted(whole.begun)
    assert sorted([*few.ended, *one.open()]) == sorted([*whole.ended, *all_of_them.open()])
    assert one.evicted == 3


def test_a_series_costs_less_than_four_kilobytes() -> None:
    sentinel = Sentinel(1)
    snapshot = sentinel.snapshot(np.array([5]))

    assert sum(array.nbytes for array in snapshot.values()) == sentinel.bytes_per_series < 4096


def test_of_no_rules_nothing_is_told() -> None:
    watched = Sentinel(1, lambda series: np.full(len(series), int(Rule(0)))).update(all_points())

    assert not watched.findings.surprise.any()
    assert watched.begun == []
