"""The reorder buffer by examples: what it lets go, what it forgets, and what it reads back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from streams.core import order
from streams.core.batch import NEVER_US, Points
from streams.core.order import Release, ReorderBuffer, count_by_lateness, dirty_buckets
from tests.builders import BASE_US

S = 1_000_000


def points(*rows: tuple[int, float]) -> Points:
    """Return readings of these series and seconds; the value is the second."""
    series, seconds = zip(*rows, strict=True) if rows else ((), ())
    times = np.array([BASE_US + round(second * S) for second in seconds], np.int64)
    return Points(np.array(series, np.int32), times, np.array(seconds), np.zeros(len(rows), np.int16))


@dataclass
class Database:
    """What is stored, and how often it was asked."""

    stored: list[Points] = field(default_factory=list)
    asked: int = 0

    @property
    def newest_us(self) -> int:
        return int(Points.concat(self.stored).time_us.max(initial=NEVER_US))

    def unreleased(self, from_us: int, to_us: int, most: int) -> Points:
        self.asked += 1
        everything = Points.concat(self.stored)
        some = everything.take((everything.time_us >= from_us) & (everything.time_us < to_us))
        return some.take(np.argsort(some.time_us, kind="stable")[:most])


def go_on(
    buffer: ReorderBuffer, database: Database, to_second: float, *arrived: Points
) -> list[tuple[int, float]]:
    """Let some readings arrive and the watermark move; return what is released."""
    release = buffer.release(arrived, BASE_US + round(to_second * S), database.newest_us, database)
    database.stored += arrived
    buffer.apply(release)
    return rows_of(release)


def rows_of(release: Release) -> list[tuple[int, float]]:
    return list(zip(release.points.series_id.tolist(), release.points.value.tolist(), strict=True))


def test_readings_leave_in_order_of_their_series_once_the_watermark_has_passed_them() -> None:
    buffer, database = ReorderBuffer(0), Database()
    assert go_on(buffer, database, 0, points((1, 3), (1, 1), (2, 2))) == []
    assert go_on(buffer, database, 2.5, points((1, 2.2), (2, 9))) == [(1, 1), (1, 2.2), (2, 2)]
    assert go_on(buffer, database, 10) == [(1, 3), (2, 9)]
    assert (len(buffer), database.asked) == (0, 0)


def test_a_reading_at_the_watermark_itself_waits() -> None:
    buffer, database = ReorderBuffer(0), Database()
    assert go_on(buffer, database, 5, points((1, 5))) == []
    assert go_on(buffer, database, 5.000001) == [(1, 5)]


def test_the_last_of_one_identity_counts() -> None:
    buffer, database = ReorderBuffer(0), Database()
    corrected = points((1, 5))._replace(value=np.array([7.0]))
    assert go_on(buffer, database, 0, points((1, 5)), corrected) == []
    assert go_on(buffer, database, 6) == [(1, 7.0)]


def test_what_a_former_owner_stored_is_read_back_when_the_watermark_gets_there() -> None:
    database = Database([points((1, 1), (1, 5), (2, 40), (1, 4000))])
    buffer = ReorderBuffer(0, to_us=BASE_US + 2 * S)
    assert go_on(buffer, database, 2, points((2, 3))) == []
    assert database.asked == 0
    assert go_on(buffer, database, 50, points((2, 30))) == [(1, 5), (2, 3), (2, 30), (2, 40)]
    asked = database.asked
    assert go_on(buffer, database, 5000) == [(1, 4000)]
    assert database.asked == asked


def test_an_owner_of_nothing_unreleased_never_asks() -> None:
    database = Database([points((1, 1))])
    buffer = ReorderBuffer(0, to_us=BASE_US + 2 * S)
    assert go_on(buffer, database, 9, points((1, 5))) == [(1, 5)]
    assert database.asked == 0


def test_over_its_budget_it_forgets_the_highest_times_and_reads_them_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(order, "MIN_ROWS", 10)
    buffer, database = ReorderBuffer(0), Database()
    sent = [(series, float(second)) for second in range(1, 101) for series in (1, 2)]
    for start in range(0, 200, 20):
        assert go_on(buffer, database, 0, points(*sent[start : start + 20])) == []
        assert len(buffer) <= 10
    released = []
    for _ in range(200):
        some = go_on(buffer, database, 200)
        assert len(some) <= 10
        released += some
    assert sorted(released) == sorted(sent)
    for series in (1, 2):
        of_series = [second for of, second in released if of == series]
        assert of_series == sorted(of_series)


def test_more_series_at_one_moment_than_there_is_room_for_are_released_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(order, "MIN_ROWS", 10)
    database = Database([points(*((series, 7.0) for series in range(100)))])
    buffer = ReorderBuffer(0, to_us=BASE_US)
    assert len(go_on(buffer, database, 8)) == 100


def test_many_small_arrivals_are_joined() -> None:
    buffer, database = ReorderBuffer(0), Database()
    for second in range(5 * order.MAX_RUNS):
        go_on(buffer, database, 0, points((1, 1000.0 - second)))
        assert len(buffer._runs) <= order.MAX_RUNS
    assert len(go_on(buffer, database, 2000)) == 5 * order.MAX_RUNS


def test_each_bucket_is_dirty_once() -> None:
    some = points((2, 0), (1, 130), (1, 0), (1, 1))
    minute_us = BASE_US // order.BUCKET_US * order.BUCKET_US
    dirty = dirty_buckets(some.series_id, some.time_us)
    assert dirty.series_id.tolist() == [1, 1, 2]
    assert dirty.bucket_us.tolist() == [minute_us, minute_us + 2 * order.BUCKET_US, minute_us]


def test_late_readings_are_counted_by_how_late_they_are() -> None:
    lags_s = np.array([1, 10, 11, 60, 61, 600, 3600, 3601, 86_400, 86_401, 10**9])
    assert count_by_lateness(lags_s * S) == (2, 2, 2, 1, 2, 2)
