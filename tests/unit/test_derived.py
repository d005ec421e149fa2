"""Results of derived metrics against plain loops; revisions; loops of definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.encode import BAD, GOOD
from streams.core.aggregate import Aggregates, aggregate
from streams.core.batch import NEVER_US, Points
from streams.core.deduplicate import series_time_order
from streams.core.derived import (
    NOT_TOLD,
    DerivedLoopError,
    Key,
    Memberships,
    Result,
    Without,
    check_loops,
    group,
    is_told,
    results,
    revise,
    spans_of,
)
from streams.core.expression import parse_expression

WIDTH_US = 60
EXPRESSION = parse_expression(
    "sum(up) / mean(rated) + last(up) * 0 + count(up) - series(rated) + min(up) - max(up)"
)
SOURCES = ("/north", "/south")


class Stay(NamedTuple):
    """A series in a node, from a time to a time."""

    series: int
    metric: int
    node: int
    since_us: int
    until_us: int


def members_of(stays: list[Stay]) -> Memberships:
    columns = np.array(sorted(stays), np.int64).reshape(-1, 5)
    series, metric, node = columns[:, :3].astype(np.int32).T
    return Memberships(series, metric, node, columns[:, 3], columns[:, 4])


def rows_of(readings: list[tuple[int, int, float]]) -> Aggregates:
    """Return the rollups of readings: series, time, value; one below zero is bad."""
    unique = {(series, time_us): value for series, time_us, value in readings}
    series, time_us = (np.array([key[part] for key in unique], np.int64) for part in (0, 1))
    value = np.array(list(unique.values()), np.float64)
    quality = np.where(value < 0, BAD, GOOD).astype(np.int16)
    points = Points(series.astype(np.int32), time_us, value, quality)
    return aggregate(points.take(series_time_order(points.series_id, points.time_us)), WIDTH_US)


def by_hand(readings: list[tuple[int, int, float]], stays: list[Stay]) -> dict[Key, float | None]:
    """Return the same results by a loop over nodes, buckets and series."""
    unique = {(series, time_us): value for series, time_us, value in readings}
    found: dict[Key, float | None] = {}
    for node, source in enumerate(SOURCES):
        for bucket in {time_us // WIDTH_US * WIDTH_US for _, time_us in unique}:
            of_metric: list[dict[int, list[float]]] = [{}, {}]
            for (series, time_us), value in sorted(unique.items()):
                stay = next(
                    (s for s in stays if s.series == series and s.since_us <= bucket < s.until_us), None
                )
                is_there = stay is not None and stay.node == node and value >= 0
                if stay is not None and is_there and time_us // WIDTH_US * WIDTH_US == bucket:
                    of_metric[stay.metric].setdefault(series, []).append(value)
            up, rated = of_metric
            if not up and not rated:
                continue
            key, all_up = Key(source, bucket), [value for values in up.values() for value in values]
            means = [sum(values) / len(values) for values in rated.values()]
            if up and rated and sum(means):
                found[key] = (
                    sum(all_up) / (sum(means) / len(means))
                    + len(all_up)
                    - len(rated)
                    + min(all_up)
                    - max(all_up)
                )
            else:
                found[key] = None
    return found


times = st.integers(0, 6 * WIDTH_US - 1)
readings = st.lists(st.tuples(st.integers(1, 4), times, st.integers(-1, 4).map(float)), max_size=40)


@st.composite
def all_stays(draw: st.DrawFn) -> list[Stay]:
    """Draw where each series stands: perhaps nowhere at first or in the end, and moved once."""
    found = []
    for series in range(1, 5):
        since = draw(st.sampled_from((NEVER_US, WIDTH_US)))
        moved = draw(st.sampled_from((2 * WIDTH_US, 200, 2**62)))
        found.append(Stay(series, series % 2, draw(st.integers(0, 1)), since, moved))
        if draw(st.booleans()):
            found.append(Stay(series, series % 2, draw(st.integers(0, 1)), moved, 2**62 + 1))
    return found


@settings(max_examples=100, deadline=None)
@given(readings, all_stays())
def test_each_node_and_bucket_has_what_a_loop_over_its_readings_gives(
    readings: list[tuple[int, int, float]], stays: list[Stay]
) -> None:
    # Metrics are numbered by name: 0 is rated, 1 is up.
    stays = [stay._replace(metric=1 - stay.metric) for stay in stays]
    grouped = group(rows_of(readings), members_of(stays), EXPRESSION)
    found = results(grouped, EXPRESSION, 60.0, SOURCES)

    expected = by_hand(readings, [stay._replace(metric=1 - stay.metric) for stay in stays])
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].value == (pytest.approx(value) if value is not None else None)
        assert (found[key].without is None) == (value is not None)


def test_what_is_missing_and_what_has_no_value_are_told_apart() -> None:
    stays = [Stay(1, 0, 0, NEVER_US, 2**62), Stay(2, 1, 0, NEVER_US, 2**62)]
    expression = parse_expression("mean(a) / mean(b)")
    rows = rows_of([(1, 0, 5.0), (2, 0, 0.0), (1, 60, 5.0), (1, 120, 5.0), (2, 121, 2.0)])

    found = results(group(rows, members_of(stays), expression), expression, 60.0, SOURCES)

    assert [found[Key("/north", at)][:2] for at in (0, 60, 120)] == [
        (None, Without.UNDEFINED),
        (None, Without.MISSING),
        (2.5, None),
    ]


KEYS = (Key("pump-1", 0), Key("pump-1", 60), Key("pump-2", 0))
outcomes = st.sampled_from(
    (Result(0.0, None), Result(-0.0, None), Result(1.5, None), Result(None, Without.MISSING),
     Result(None, Without.UNDEFINED))
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(KEYS), outcomes), min_size=1, max_size=8))
def test_whoever_keeps_the_highest_revision_has_the_last_result_whatever_came_before(
    histories: list[Mapping[Key, Result]],
) -> None:
    kept: dict[Key, Result] = {}
    read: dict[Key, tuple[int, float | None]] = {}
    for now in histories:
        new = revise(kept, now)
        for key, result in new.items():
            if is_told(key, result, kept):
                assert result.revision == read.get(key, (NOT_TOLD, None))[0] + 1
                assert key in read or result.value is not None  # nothing is taken back that was not told
                read[key] = result.revision, result.value
        kept |= new
        assert revise(kept, now) == {}

        for key in KEYS:
            last = now.get(key, Result(None, Without.GONE)).value
            _, told = read.get(key, (NOT_TOLD, None))
            assert (told is None) == (last is None)
            assert str(told) == str(last)  # 0.0 is not -0.0


def test_a_metric_is_not_computed_from_itself_directly_or_through_others() -> None:
    check_loops({"a": ["b", "b", "x"], "b": ["c"], "c": ["x"], "d": ["a", "c"]})
    with pytest.raises(DerivedLoopError, match="a is computed from itself: a needs a"):
        check_loops({"a": ["x", "a"]})
    with pytest.raises(DerivedLoopError, match="b is computed from itself: b needs c, c needs b"):
        check_loops({"a": ["b"], "b": ["x", "c"], "c": ["y", "b"]})


def test_a_chain_of_thousands_is_walked() -> None:
    chain = {f"m{number}": [f"m{number + 1}"] for number in range(5_000)}
    check_loops(chain)
    with pytest.raises(DerivedLoopError):
        check_loops({**chain, "m5000": ["m0"]})


def test_spans_are_whole() -> None:
    assert spans_of([], 60) == []
    assert spans_of([60, 0, 60, 240], 60) == [(0, 120), (240, 300)]
