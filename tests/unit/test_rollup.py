"""Levels by examples: what a release closes, what stays open, and which levels fit each other."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core import rollup
from streams.core.aggregate import aggregate
from streams.core.batch import NEVER_US, Points
from streams.core.rollup import Rollups, begin_us
from tests.builders import BASE_US

S = 1_000_000
START_US = begin_us(BASE_US, 3600 * S)


def points(*rows: tuple[int, float]) -> Points:
    """Return readings of these series and seconds."""
    series, seconds = zip(*sorted(rows), strict=True) if rows else ((), ())
    times = np.array([START_US + round(second * S) for second in seconds], np.int64)
    return Points(np.array(series, np.int32), times, np.array(seconds, float), np.zeros(len(rows), np.int16))


def go_on(rollups: Rollups, to_second: float, *rows: tuple[int, float]) -> list[list[tuple[int, int, int]]]:
    """Release some readings; return series, second and count of what is closed, level by level."""
    closing = rollups.close(points(*rows), START_US + round(to_second * S))
    rollups.apply(closing)
    return [
        list(zip(*(column.tolist() for column in (one[0], (one[1] - START_US) // S, one[2])), strict=True))
        for one in closing.closed
    ]


def test_a_bucket_is_closed_when_all_of_its_time_is_released() -> None:
    rollups = Rollups([60 * S, 120 * S])

    assert go_on(rollups, 30, (1, 1), (2, 29)) == [[], []]
    assert go_on(rollups, 59.999999, (1, 31)) == [[], []]
    assert go_on(rollups, 60) == [[(1, 0, 2), (2, 0, 1)], []]
    assert go_on(rollups, 119, (1, 60)) == [[], []]
    assert go_on(rollups, 120) == [[(1, 60, 1)], [(1, 0, 3), (2, 0, 1)]]
    assert len(rollups) == 0


def test_one_release_may_close_many_buckets() -> None:
    rollups = Rollups([60 * S, 120 * S])

    assert go_on(rollups, 200, (1, 1), (1, 61), (1, 130), (1, 190)) == [
        [(1, 0, 1), (1, 60, 1), (1, 120, 1)],
        [(1, 0, 2)],
    ]
    assert len(rollups) == 2


def test_nothing_is_closed_before_there_is_a_mark() -> None:
    closing = Rollups().close(points(), NEVER_US)

    assert [len(rows.readings) for rows in closing.closed] == [0, 0, 0, 0]


def test_what_is_open_is_bounded_by_the_series_and_not_by_the_releases(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rollup, "MIN_ROWS", 10)
    rollups, most = Rollups(), 0
    for second in range(1, 50):
        go_on(rollups, second, *((series, second - 1) for series in range(20)))
        most = max(most, len(rollups))

    assert most <= 10 + rollup.GROWTH * 20 + 20


def test_levels_without_history_begin_empty() -> None:
    rollups = Rollups([60 * S, 120 * S], [aggregate(points((1, 70)), 60 * S)])

    assert go_on(rollups, 120) == [[(1, 60, 1)], [(1, 0, 1)]]
