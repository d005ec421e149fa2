"""Every level of the rollups equals a plain loop over all readings: however they are released and cut."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.encode import BAD, GOOD, UNCERTAIN
from streams.core import aggregate as aggregation
from streams.core import rollup
from streams.core.aggregate import LARGEST, Aggregates, aggregate, coarsen, merge
from streams.core.batch import NEVER_US, Points
from streams.core.levels import DAY_US, MINUTE_US
from streams.core.rollup import LEVELS_US, Rollups, begin_us

HOUR_US = 60 * MINUTE_US
START_US = 1_700_000_000_000_000 // DAY_US * DAY_US + 23 * HOUR_US
"""An hour before midnight, so that every level has an edge near it."""


class Reading(NamedTuple):
    """A reading; identity is series and time."""

    series: int
    time_us: int
    value: float
    quality: int


NEAR = st.integers(0, 5 * MINUTE_US) | st.integers(0, 3 * HOUR_US) | st.integers(0, 3 * DAY_US)
EDGES = st.builds(
    lambda minutes, beside_us: max(minutes * MINUTE_US + beside_us, 0),
    st.sampled_from([0, 1, 2, 15, 30, 59, 60, 61, 24 * 60, 25 * 60]),
    st.sampled_from([-1, 0, 1]),
)
times = st.builds(lambda after_us: START_US + after_us, NEAR | EDGES)
values = st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e15 + 0.125, 1e-300, 1e140, -1e140, 1.1e140]) | st.floats(
    -1e6, 1e6
)
usable = st.tuples(values, st.sampled_from([GOOD, UNCERTAIN]))
bad = st.tuples(values | st.sampled_from([np.nan, np.inf]), st.just(BAD))
said = st.one_of(usable, usable, usable, bad)
readings = st.lists(
    st.builds(lambda series, time_us, told: Reading(series, time_us, *told), st.integers(1, 3), times, said),
    max_size=60,
    unique_by=lambda reading: reading[:2],
)
marks = st.lists(times, max_size=12)
restarts = st.sets(st.integers(0, 12))


def points_of(some: list[Reading]) -> Points:
    """Return readings in order of series, then time."""
    series, time_us, value, quality = zip(*sorted(some), strict=True) if some else ((),) * 4
    return Points(
        np.array(series, np.int32),
        np.array(time_us, np.int64),
        np.array(value, np.float64),
        np.array(quality, np.int16),
    )


def between(some: list[Reading], from_us: int, to_us: int) -> Points:
    return points_of([reading for reading in some if from_us <= reading.time_us < to_us])


class Expected(NamedTuple):
    """A row as a loop over its readings finds it: what is exact, and what is as near as doubles come.

    Of the latter, each has what may be wrong beside a part in 10^9 of it: they cancel out.
    """

    exact: tuple[object, ...]
    near: dict[str, tuple[Fraction, Fraction]]


def looped(some: list[Reading], width_us: int) -> dict[tuple[int, int], Expected]:
    """Return the rows of one level."""
    buckets: dict[tuple[int, int], list[Reading]] = {}
    for reading in sorted(some):
        buckets.setdefault((reading.series, begin_us(reading.time_us, width_us)), []).append(reading)
    return {key: expected(members) for key, members in buckets.items()}


def expected(members: list[Reading]) -> Expected:
    told = [
        (each.time_us, each.value) for each in members if each.quality != BAD and abs(each.value) <= LARGEST
    ]
    bad = len(members) - len(told)
    if not told:
        exact: tuple[object, ...] = (len(members), bad, *map(repr, [np.nan] * 4), NEVER_US, NEVER_US)
        return Expected(exact, {name: (Fraction(0), Fraction(0)) for name in NEAR_COLUMNS})
    numbers = [Fraction(value) for _, value in told]
    size, largest = len(told), max(abs(number) for number in numbers)
    mean = sum(numbers, Fraction(0)) / size
    steps = list(pairwise(zip([time_us for time_us, _ in told], numbers, strict=True)))
    held = [(before, Fraction(now_us - before_us, 1_000_000)) for (before_us, before), (now_us, _) in steps]
    extremes = min(numbers), max(numbers), numbers[0], numbers[-1]
    written = (*map(float, extremes[:2]), told[0][1], told[-1][1])
    return Expected(
        (len(members), bad, *map(repr, written), told[0][0], told[-1][0]),
        {
            "sum": (sum(numbers, Fraction(0)), size * largest / 10**14),
            "m2": (
                sum(((number - mean) ** 2 for number in numbers), Fraction(0)),
                size * largest**2 / 10**18,
            ),
            "increase": (
                sum((now - before if now >= before else now for (_, before), (_, now) in steps), Fraction(0)),
                size * largest / 10**14,
            ),
            "integral": (
                sum((value * seconds for value, seconds in held), Fraction(0)),
                sum((abs(value) * seconds for value, seconds in held), Fraction(0)) / 10**14,
            ),
        },
    )


NEAR_COLUMNS = ("sum", "m2", "increase", "integral")
EXACT_COLUMNS = ("readings", "bad", "min", "max", "first", "last", "first_us", "last_us")
TINY = Fraction(1, 10**300)
"""Where doubles end."""


def assert_equals(rows: Aggregates, wanted: dict[tuple[int, int], Expected]) -> None:
    keys = list(zip(rows.series_id.tolist(), rows.bucket_us.tolist(), strict=True))
    assert keys == sorted(wanted)
    for row, key in enumerate(keys):
        exact = [getattr(rows, name)[row].item() for name in EXACT_COLUMNS]
        assert [repr(each) if isinstance(each, float) else each for each in exact] == list(wanted[key].exact)
        for name, (number, cancelled) in wanted[key].near.items():
            got = Fraction(getattr(rows, name)[row].item())
            assert abs(got - number) <= abs(number) / 10**9 + cancelled + TINY, name


def assert_same(one: Aggregates, other: Aggregates) -> None:
    """Bit by bit, but for what depends on the order of additions."""
    for name in ("series_id", "bucket_us", *EXACT_COLUMNS):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name


class Stored:
    """The closed rows of each level in the database, and what a next owner takes from it."""

    def __init__(self, log: list[Reading]) -> None:
        self.log = log
        self.rows: list[list[Aggregates]] = [[aggregation.NOTHING] for _ in LEVELS_US]

    def level(self, number: int) -> Aggregates:
        rows = Aggregates.concat(self.rows[number])
        return rows.take(np.lexsort((rows.bucket_us, rows.series_id)))

    def rollups(self, to_us: int) -> Rollups:
        points = between(self.log, begin_us(to_us, LEVELS_US[0]), to_us)
        rows = [
            coarsen(
                (below := self.level(number)).take(below.bucket_us >= begin_us(to_us, above_us)), above_us
            )
            for number, above_us in enumerate(LEVELS_US[1:])
        ]
        return Rollups(LEVELS_US, [aggregate(points, LEVELS_US[0]), *rows])


def run(log: list[Reading], at_us: list[int], lost_after: set[int]) -> Stored:
    """Release readings mark by mark; after some of them the state is lost and built again."""
    stored, rollups = Stored(log), Rollups()
    for number, (from_us, to_us) in enumerate(pairwise([START_US, *sorted(at_us)])):
        closing = rollups.close(between(log, from_us, to_us), to_us)
        for rows, closed in zip(stored.rows, closing.closed, strict=True):
            rows.append(closed)
        rollups = rollups if number not in lost_after else stored.rollups(to_us)
        if number not in lost_after:
            rollups.apply(closing)
    return stored


def assert_complete(stored: Stored, to_us: int) -> None:
    for number, width_us in enumerate(LEVELS_US):
        complete = [each for each in stored.log if begin_us(each.time_us, width_us) + width_us <= to_us]
        assert_equals(stored.level(number), looped(complete, width_us))


@settings(max_examples=150)
@given(log=readings, at_us=marks, lost_after=restarts)
def test_every_level_is_what_a_loop_finds_however_readings_are_released(
    log: list[Reading], at_us: list[int], lost_after: set[int]
) -> None:
    assert_complete(run(log, at_us, lost_after), max([START_US, *at_us]))


@settings(max_examples=150)
@given(log=readings, at_us=marks, lost_after=restarts)
def test_so_it_is_where_open_buckets_are_merged_at_every_release(
    log: list[Reading], at_us: list[int], lost_after: set[int]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollup, "MIN_ROWS", 0)
        patch.setattr(rollup, "GROWTH", 1)
        patch.setattr(aggregation, "SHORT", 1)
        stored = run(log, [*at_us, START_US + 9 * DAY_US], lost_after)
    assert_complete(stored, START_US + 9 * DAY_US)
    whole = run(log, [START_US + 9 * DAY_US], set())
    for number in range(len(LEVELS_US)):
        assert_same(stored.level(number), whole.level(number))


@settings(max_examples=150)
@given(log=readings, at_us=marks, lost_after=restarts, to_us=times)
def test_closing_changes_nothing_until_it_is_applied(
    log: list[Reading], at_us: list[int], lost_after: set[int], to_us: int
) -> None:
    at_us = [mark for mark in at_us if mark <= to_us]
    from_us = max([START_US, *at_us])
    rollups = run(log, at_us, lost_after).rollups(from_us)
    first, second = (rollups.close(between(log, from_us, to_us), to_us) for _ in range(2))
    for one, other in zip(first.closed, second.closed, strict=True):
        assert list(map(repr, one)) == list(map(repr, other))


@settings(max_examples=150)
@given(log=readings, cuts=st.tuples(times, times), width_us=st.sampled_from(LEVELS_US))
def test_parts_merge_in_any_grouping(log: list[Reading], cuts: tuple[int, int], width_us: int) -> None:
    bounds = [START_US - 1, *sorted(cuts), START_US + 9 * DAY_US]
    one, two, three = (aggregate(between(log, *cut), width_us) for cut in pairwise(bounds))
    wanted = looped(log, width_us)
    for merged in (
        merge([one, two, three]),
        merge([merge([one, two]), three]),
        merge([one, merge([two, three])]),
    ):
        assert_equals(merged, wanted)


@settings(max_examples=150)
@given(log=readings, level=st.integers(0, len(LEVELS_US) - 2))
def test_a_level_made_of_the_one_below_is_what_readings_make(log: list[Reading], level: int) -> None:
    below = aggregate(points_of(log), LEVELS_US[level])
    made, direct = (
        coarsen(below, LEVELS_US[level + 1]),
        aggregate(points_of(log), LEVELS_US[level + 1]),
    )
    assert_same(made, direct)
    assert_equals(made, looped(log, LEVELS_US[level + 1]))
