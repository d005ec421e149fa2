"""Findings and episodes of many series: however readings are cut, and whatever they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.batch import Points
from streams.core.detect import lookout_kernel
from streams.core.detect.episodes import REFRACTORY, Episode
from streams.core.detect.lookout import BAD, Lookout, Seen
from streams.core.native import Loaded

MINUTE_US = 60_000_000
SERIES, READINGS = 4, 300


@pytest.fixture(params=["in NumPy", "natively"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything here judged without and with the kernel."""
    if request.param == "in NumPy":
        monkeypatch.setattr(lookout_kernel, "LOADED", Loaded(None, ""))


def points_of(series: int, values: np.ndarray, start: int = 0) -> Points:
    times_us = 1_700_000_000_000_000 + MINUTE_US * (start + np.arange(len(values)))
    return Points(np.full(len(values), series, np.int32), times_us, values, np.zeros(len(values), np.int16))


def noise(series: int, count: int = READINGS) -> np.ndarray:
    values = np.random.default_rng(series).normal(size=count)
    values[200:203] += 30.0
    return values


def all_points() -> Points:
    return Points.concat([points_of(series, noise(series)) for series in range(SERIES)])


def flat(seen: Seen) -> tuple[np.ndarray, ...]:
    return (*seen.findings, seen.began)


def test_a_jump_is_an_episode_of_its_series() -> None:
    lookout = Lookout(most_series=SERIES)
    seen = lookout.update(all_points())

    assert [episode.series for episode in seen.ended] == [0, 1, 2, 3]
    assert (seen.began.reshape(SERIES, READINGS).argmax(axis=1) == 200).all()
    assert seen.findings.score.max() < 1.0


@given(st.lists(st.integers(0, READINGS), max_size=5), st.booleans())
@settings(max_examples=15)
def test_neither_cuts_nor_restarts_matter(cuts: list[int], restart: bool) -> None:
    points, lookout = all_points(), Lookout(most_series=SERIES)
    whole = Lookout(most_series=SERIES).update(points)
    number = np.tile(np.arange(READINGS), SERIES)
    found, ended = [np.empty_like(column) for column in flat(whole)], list[Episode]()
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), READINGS], strict=True):
        chosen = (number >= start) & (number < end)
        seen = lookout.update(points.take(chosen))
        for column, part in zip(found, flat(seen), strict=True):
            column[chosen] = part
        ended += seen.ended
        if restart:
            everyone = np.arange(SERIES)
            snapshot = lookout.snapshot(everyone)
            lookout = Lookout(most_series=SERIES)
            lookout.restore(everyone[::-1], {name: array[::-1] for name, array in snapshot.items()})

    for column, expected in zip(found, flat(whole), strict=True):
        assert np.array_equal(column, expected)
    assert sorted(ended) == whole.ended


@pytest.mark.parametrize(
    "values",
    [
        np.full(200, 3.25),
        np.full(200, np.nan),
        np.array([1.0, 2.0]),
        np.empty(0),
        np.resize([np.inf, -np.inf, 5.0], 200),
    ],
    ids=["constant", "nan", "two", "none", "infinite"],
)
def test_nothing_is_seen_where_there_is_nothing_to_see(values: np.ndarray) -> None:
    seen = Lookout(most_series=1).update(points_of(0, values))

    assert not seen.findings.surprise.any()
    assert not seen.began.any()


def test_extreme_values_do_not_blind_it() -> None:
    values = noise(0, 2000)
    values[500] = 1e300
    values[1500:1510] = 200.0
    seen = Lookout(most_series=1).update(points_of(0, values))

    assert all(np.isfinite(column).all() for column in seen.findings)
    assert {500, 1500} <= set(np.flatnonzero(seen.began).tolist())


def test_bad_readings_and_repeated_times_teach_nothing() -> None:
    points = points_of(0, noise(0))
    doubled = points.take(np.repeat(np.arange(READINGS), 3))
    doubled.quality[1::3] = BAD
    doubled.value[1::3] = -500.0
    doubled.value[2::3] = 500.0
    seen = Lookout(most_series=1).update(doubled)
    alone = Lookout(most_series=1).update(points)

    assert np.array_equal(seen.findings.surprise[::3], alone.findings.surprise)
    assert not seen.findings.surprise[1::3].any()
    assert not seen.findings.surprise[2::3].any()


def test_series_beyond_its_room_are_forgotten_and_their_episodes_over() -> None:
    lookout = Lookout(most_series=2)
    lookout.update(Points.concat([points_of(series, noise(series)[:202]) for series in (1, 2)]))
    assert sorted(episode.series for episode in lookout.open()) == [1, 2]
    lookout.update(points_of(2, np.zeros(5), start=202))
    seen = lookout.update(points_of(9, noise(9), start=400))

    assert [episode.series for episode in seen.ended if episode.series != 9] == [1]
    assert lookout.evicted == 1


def test_more_series_at_once_than_there_is_room_for() -> None:
    points = all_points()
    seen = Lookout(most_series=1).update(points)

    assert np.array_equal(seen.began, Lookout(most_series=SERIES).update(points).began)


def test_a_series_costs_less_than_four_kilobytes() -> None:
    lookout = Lookout(most_series=1)
    lookout.update(points_of(5, noise(5)))
    snapshot = lookout.snapshot(np.array([5]))

    assert sum(array.nbytes for array in snapshot.values()) == lookout.bytes_per_series < 4096


def test_time_may_stand_in_days_without_readings() -> None:
    early, late = points_of(0, noise(0)), points_of(0, noise(1), start=10**6)
    seen = Lookout(most_series=1).update(Points.concat([early, late]))

    assert all(np.isfinite(column).all() for column in seen.findings)
    assert REFRACTORY < READINGS
