"""What is true of every detector: each goes through all of this."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from inspect import isabstract
from itertools import pairwise
from pkgutil import iter_modules

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streams.core.detect
from streams.core.detect.catalogue import DETECTORS
from streams.core.detect.detector import Detector, Scores
from streams.core.detect.flapping import Flapping
from streams.core.detect.new_state import NewState
from streams.core.detect.resets import Resets

ROW = np.array([0])
MINUTE_US = 60_000_000
MOST_BYTES = 1024

Values = npt.NDArray[np.float64]

OF_EVENTS = (Flapping, NewState, Resets)
"""What says nothing of values that change with every reading."""

every_detector = pytest.mark.parametrize("kind", DETECTORS, ids=lambda kind: kind.name)


def made(kind: type[Detector], series: int = 1) -> Detector:
    detector = kind()
    detector.grow(series)
    return detector


def minutes(count: int) -> npt.NDArray[np.int64]:
    return 1_700_000_000_000_000 + MINUTE_US * np.arange(count)


def wander(count: int, seed: int = 7) -> Values:
    """A level with noise, which shifts once, is constant for a while, and has two spikes."""
    random = np.random.default_rng(seed)
    values = 10.0 + random.normal(size=count)
    values[count // 2 :] += 4.0
    values[count // 3 : count // 3 + count // 10] = 10.5
    values[[count // 4, 3 * count // 4]] = 60.0, -40.0
    return values


def surprises(detector: Detector, values: Iterable[float], times_us: npt.NDArray[np.int64]) -> Values:
    scored = [
        detector.update(ROW, np.array([time_us]), np.array([[value]]))
        for value, time_us in zip(values, times_us, strict=True)
    ]
    return np.array([scores.surprise[0, 0] for scores in scored])


def test_no_detector_is_left_out() -> None:
    package = streams.core.detect
    modules = [
        import_module(f"{package.__name__}.{module.name}") for module in iter_modules(package.__path__)
    ]
    defined = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Detector) and not isabstract(kind)
    }

    assert defined == set(DETECTORS)
    assert len({kind.name for kind in DETECTORS}) == len(DETECTORS)


def switches(count: int) -> Values:
    """Two states, of which one is short, and a third one at last; the first of each pair is the lower."""
    values = np.where(np.arange(count) % 40 < 37, 2.0, 1.0)
    values[count - 50 :: 2] = 3.0
    return values


@every_detector
def test_it_finds_something_unusual(kind: type[Detector]) -> None:
    times_us = minutes(400)
    times_us[350:] += 10 * MINUTE_US
    values = switches(400) if kind in OF_EVENTS else wander(400)

    assert surprises(made(kind), values, times_us).max() > 1.0


@every_detector
@given(st.integers(1, 199))
@settings(max_examples=10)
def test_what_comes_later_changes_nothing(kind: type[Detector], cut: int) -> None:
    whole = surprises(made(kind), wander(200), minutes(200))
    other = np.append(wander(200)[:cut], np.full(200 - cut, 1e9))

    assert np.array_equal(surprises(made(kind), other, minutes(200))[:cut], whole[:cut])


@every_detector
@given(st.lists(st.integers(0, 200), max_size=4))
@settings(max_examples=10)
def test_it_goes_on_from_a_snapshot_at_another_place(kind: type[Detector], cuts: list[int]) -> None:
    values, times_us = wander(200), minutes(200)
    detector, parts = made(kind), []
    for start, end in pairwise([0, *sorted(cuts), 200]):
        parts.append(surprises(detector, values[start:end], times_us[start:end]))
        snapshot = detector.snapshot(ROW)
        detector = made(kind, 3)
        detector.restore(np.array([2]), snapshot)
        detector.restore(ROW, detector.snapshot(np.array([2])))

    assert np.array_equal(np.concatenate(parts), surprises(made(kind), values, times_us))


@every_detector
def test_series_do_not_see_each_other(kind: type[Detector]) -> None:
    random = np.random.default_rng(3)
    values, times_us = [wander(200, seed) for seed in range(3)], minutes(200)
    together, place = made(kind, 3), [0, 0, 0]
    found: list[list[float]] = [[], [], []]
    while min(place) < 200:
        rows = np.flatnonzero((random.random(3) < 0.5) & (np.array(place) < 200))
        at = [place[row] for row in rows]
        signals = np.array([[values[row][k]] for row, k in zip(rows, at, strict=True)]).reshape(len(rows), 1)
        scores = together.update(rows, times_us[at], signals)
        for row, surprise in zip(rows.tolist(), scores.surprise[:, 0].tolist(), strict=True):
            found[row].append(surprise)
            place[row] += 1

    for row in range(3):
        assert np.array_equal(found[row], surprises(made(kind), values[row], times_us))


@every_detector
def test_a_level_it_ignores_does_not_matter(kind: type[Detector]) -> None:
    # Sixteenths are exact beside 1.7e9.
    values = np.round(wander(300) * 16) / 16
    plain, raised = (surprises(made(kind), values + level, minutes(300)) for level in (0.0, 1.7e9))

    assert np.allclose(plain, raised, atol=1e-3) == kind.ignores_level


@every_detector
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_a_scale_it_ignores_does_not_matter(kind: type[Detector], scale: float) -> None:
    plain, scaled = (surprises(made(kind), wander(300) * by, minutes(300)) for by in (1.0, scale))

    assert np.allclose(plain, scaled, atol=1e-9) == kind.ignores_scale


@every_detector
@pytest.mark.parametrize("value", [0.0, 0.1, -3e300, 1.7e9 + 0.1])
def test_a_constant_is_nothing_new(kind: type[Detector], value: float) -> None:
    assert not surprises(made(kind), np.full(300, value), minutes(300)).any()


@every_detector
@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_says_nothing_and_teaches_nothing(kind: type[Detector], nothing: float) -> None:
    values, times_us = wander(200), minutes(200)
    known = np.random.default_rng(5).random(200) < 0.7
    with_holes = surprises(made(kind), np.where(known, values, nothing), times_us)

    assert not with_holes[~known].any()
    assert np.array_equal(with_holes[known], surprises(made(kind), values[known], times_us[known]))


@every_detector
def test_what_is_not_later_says_nothing_and_teaches_nothing(kind: type[Detector]) -> None:
    values, times_us = wander(200), minutes(200)
    twice = surprises(made(kind), np.repeat(values, 2) + np.tile([0.0, 5.0], 200), np.repeat(times_us, 2))

    assert not twice[1::2].any()
    assert np.array_equal(twice[::2], surprises(made(kind), values, times_us))


@every_detector
@pytest.mark.parametrize("value", [1e300, -1e300, 5e-324])
def test_extreme_values_and_gaps_of_years_have_finite_scores(kind: type[Detector], value: float) -> None:
    values, times_us = wander(200), minutes(200)
    values[[0, 50, 51, 120]] = value
    times_us[100:] += 10**15
    detector = made(kind)
    for reading, time_us in zip(values, times_us, strict=True):
        scores = detector.update(ROW, np.array([time_us]), np.array([[reading]]))
        assert all(np.isfinite(numbers).all() for numbers in scores)


@every_detector
@pytest.mark.parametrize("count", [0, 1, 2])
def test_so_few_readings_surprise_nobody(kind: type[Detector], count: int) -> None:
    assert not surprises(made(kind), wander(200)[:count], minutes(count)).any()


@every_detector
@pytest.mark.parametrize("seed", [1, 2])
def test_a_score_is_a_tail_probability(kind: type[Detector], seed: int) -> None:
    """Of noise, a score of 0.95 or more has one reading in twenty at most, give or take chance."""
    noise = np.random.default_rng(seed).normal(size=2000)
    found = surprises(made(kind), noise, minutes(2000))[500:]

    assert (1.0 - 10.0**-found >= 0.95).mean() < 0.08
    assert (found >= 0.0).all()


@every_detector
def test_a_score_is_a_share(kind: type[Detector]) -> None:
    surprise = surprises(made(kind), wander(400), minutes(400))[:, None]
    score = Scores(surprise, *np.zeros((3, 400, 1))).score

    assert (score >= 0.0).all()
    assert (score < 1.0).all()


@every_detector
def test_a_series_costs_little(kind: type[Detector]) -> None:
    detector = made(kind)
    held = sum(array.nbytes for array in detector.snapshot(ROW).values())

    assert held == detector.bytes_per_series
    assert held <= MOST_BYTES


@every_detector
def test_a_place_that_was_cleared_is_as_new(kind: type[Detector]) -> None:
    detector = made(kind)
    surprises(detector, wander(100), minutes(100))
    detector.clear(ROW)

    assert np.array_equal(
        surprises(detector, wander(200), minutes(200)), surprises(made(kind), wander(200), minutes(200))
    )
