"""Closed buckets are held to their readings, and to the level below where readings are dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from sinks.timescale import refresh
from sinks.timescale.refresh import Refreshed, refresh_some
from sinks.timescale.session import Connection
from sinks.timescale.times import timestamp
from streams.core.aggregate import Aggregates
from streams.core.batch import Points
from streams.core.levels import DAY_US
from streams.core.rollup import begin_us
from tests.integration.rollups import (
    HOUR_US,
    LEVELS,
    START_US,
    History,
    assert_same,
    misrolled,
    reading,
    rows_of,
)

pytestmark = pytest.mark.stack


def test_verification_finds_rows_that_are_wrong_and_excuses_those_that_are_marked(
    database: str, writer: Connection
) -> None:
    history = History(writer, 0)
    history.flush(history.points(200, START_US, START_US + 5 * HOUR_US), START_US + 3 * DAY_US)
    assert misrolled(database) == {}

    history.flush(reading(1, 1.0), START_US + 3 * DAY_US + 1)
    assert misrolled(database) == {}
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("DELETE FROM dirty_buckets")
        assert misrolled(database) == {"1m": 1, "15m": 1, "1h": 1, "1d": 1}
        owner.execute("INSERT INTO dirty_buckets (series_id, bucket) VALUES (1, %s)", (timestamp(START_US),))
        while refresh_some(writer):
            pass
        assert misrolled(database) == {}
        owner.execute("UPDATE rollup_closed_1h SET m2 = m2 * 1.0001 + 1")
        ((hours,),) = owner.execute("SELECT count(*) FROM rollup_closed_1h").fetchall()
        owner.execute("DELETE FROM rollup_closed_1d WHERE series_id = 2")
        assert misrolled(database) == {"1h": hours, "1d": 2}


def keep_from(owner: psycopg.Connection[Any], time_us: int) -> None:
    owner.execute("UPDATE raw_retention SET kept_from = %s", (timestamp(time_us),))
    owner.execute("SELECT drop_chunks('readings', older_than => %s::timestamptz)", (timestamp(time_us),))


FIRST_DAY_US = begin_us(START_US, DAY_US)
"""The day of the first readings: its last two hours have some."""

NEXT_DAY_US = FIRST_DAY_US + DAY_US


@pytest.fixture
def owner(database: str, writer: Connection) -> Iterator[psycopg.Connection[Any]]:
    """Yield the owner of a database whose readings are all kept, also afterwards."""
    with psycopg.connect(database, autocommit=True) as session:
        yield session
        session.execute("UPDATE raw_retention SET kept_from = '-infinity'")


def test_rollups_outlive_their_readings_and_are_held_to_the_level_below(
    database: str, writer: Connection, owner: psycopg.Connection[Any]
) -> None:
    history = History(writer, 0)
    history.flush(history.points(300, START_US, START_US + 8 * HOUR_US), START_US + 3 * DAY_US)
    before = [rows_of(writer, level) for level in LEVELS]
    keep_from(owner, NEXT_DAY_US)
    assert owner.execute("SELECT min(ts) FROM readings").fetchall()[0][0] >= timestamp(NEXT_DAY_US)

    for level, rows in zip(LEVELS, before, strict=True):
        assert_same(rows_of(writer, level), rows)
    assert misrolled(database) == {}
    dropped = timestamp(NEXT_DAY_US)
    owner.execute("UPDATE rollup_closed_1h SET max = max + 1 WHERE series_id = 1 AND bucket < %s", (dropped,))
    assert misrolled(database) == {"1h": 2, "1d": 1}
    owner.execute("UPDATE rollup_closed_1h SET max = max - 1 WHERE series_id = 1 AND bucket < %s", (dropped,))
    owner.execute("DELETE FROM rollup_closed_15m WHERE series_id = 2 AND bucket < %s", (dropped,))
    assert misrolled(database)["15m"] > 0


def test_what_came_late_to_a_day_whose_readings_are_gone_changes_nothing_and_is_told(
    database: str, writer: Connection, owner: psycopg.Connection[Any]
) -> None:
    history = History(writer, 0)
    history.flush(history.points(300, START_US, START_US + 8 * HOUR_US), START_US + 3 * DAY_US)
    before = [rows_of(writer, level) for level in LEVELS]
    taken = {"old": START_US, "kept": NEXT_DAY_US + HOUR_US}
    late = Points.concat([reading((time_us - START_US) / 1e6 + 0.0005, 5.0) for time_us in taken.values()])
    history.flush(late, START_US + 3 * DAY_US)
    keep_from(owner, NEXT_DAY_US)

    assert refresh_some(writer)[0] == Refreshed("1m", marks=2, revised=1, given_up=1)
    while refresh_some(writer):
        pass
    for level, rows in zip(LEVELS, before, strict=True):
        old = rows.bucket_us < NEXT_DAY_US
        now = rows_of(writer, level)
        assert_same(now.take(now.bucket_us < NEXT_DAY_US), rows.take(old))
        assert now.readings.sum() == rows.readings.sum() + 1
    assert owner.execute("SELECT count(*) FROM dirty_buckets").fetchall() == [(0,)]
    assert misrolled(database) == {}


def test_nothing_is_made_of_readings_that_are_dropped_while_they_are_read(
    writer: Connection, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(writer, 0)
    history.flush(history.points(100, START_US, START_US + HOUR_US), START_US + 3 * DAY_US)
    before = rows_of(writer, LEVELS[0])
    history.flush(reading(0.0005, 5.0), START_US + 3 * DAY_US)
    computed = refresh._computed

    def drop_and_compute(*given: Any) -> Aggregates:
        keep_from(owner, NEXT_DAY_US)
        return computed(*given)

    monkeypatch.setattr(refresh, "_computed", drop_and_compute)
    assert refresh_some(writer) == []
    assert_same(rows_of(writer, LEVELS[0]), before)
    assert refresh_some(writer) == [Refreshed("1m", marks=1, revised=0, given_up=1)]


def test_readings_are_kept_from_the_begin_of_a_day_on(owner: psycopg.Connection[Any]) -> None:
    with pytest.raises(errors.CheckViolation, match="kept_from_begins_a_day"):
        keep_from(owner, NEXT_DAY_US + HOUR_US)
