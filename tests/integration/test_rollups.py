"""Rollups in the database: after any history they are what all readings make, in tables and views."""

from __future__ import annotations

from functools import partial

import numpy as np
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from jobs.verify import rollups as verified
from schemas.encode import BAD, GOOD
from sinks.timescale import refresh, rollups
from sinks.timescale.levels import apply_levels
from sinks.timescale.refresh import Refreshed, refresh_some
from sinks.timescale.rollups import (
    Level,
)
from sinks.timescale.session import Connection, connect
from sinks.timescale.slices import read_sliced
from sinks.timescale.times import timestamp
from streams.core.aggregate import aggregate
from streams.core.batch import Points
from streams.core.levels import DAY_US, MINUTE_US, parse_levels
from tests.databases import as_reader, as_writer
from tests.integration.rollups import (
    ALL_REVISED,
    HOUR_US,
    LEVELS,
    START_US,
    History,
    assert_same,
    in_order,
    misrolled,
    reading,
    rows_of,
)

pytestmark = pytest.mark.stack


SOME_LEVELS = ["1m,15m,1h,1d", "10s,1m,1h", "15m,1d"]


@pytest.mark.parametrize("levels", SOME_LEVELS)
@pytest.mark.parametrize(("seed", "at_once"), [(0, 100_000), (1, 3)])
def test_after_any_history_rollups_are_what_all_readings_make(
    database: str,
    writer: Connection,
    levels: str,
    seed: int,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in (refresh, rollups, verified):
        monkeypatch.setattr(module, "read_sliced", partial(read_sliced, most=at_once))
    widths_us = parse_levels(levels)
    apply_levels(database, widths_us)
    history = History(writer, seed, widths_us)
    mark_us = START_US
    for _ in range(25):
        step_us = int(
            history.random.choice([5 * 10**6, MINUTE_US, 7 * MINUTE_US, 50 * MINUTE_US, 8 * HOUR_US])
        )
        history.flush(
            history.points(60, mark_us - 2 * HOUR_US, mark_us + step_us + MINUTE_US), mark_us + step_us
        )
        mark_us += step_us
        if history.random.random() < 0.3:
            history.lose_memory()
        if history.random.random() < 0.3:
            refresh_some(writer, most=20)
    while refresh_some(writer):
        pass

    whole = in_order(history.stored)
    for level in map(Level.of, widths_us):
        wanted = aggregate(whole, level.width_us)
        closed = wanted.bucket_us + level.width_us <= mark_us
        assert_same(rows_of(writer, level), wanted.take(closed))
    assert misrolled(database) == {}


@pytest.mark.parametrize("levels", SOME_LEVELS)
@pytest.mark.parametrize("seed", range(2))
def test_views_are_as_fresh_as_the_readings(
    database: str, writer: Connection, levels: str, seed: int
) -> None:
    widths_us = parse_levels(levels)
    apply_levels(database, widths_us)
    history = History(writer, seed, widths_us)
    with psycopg.connect(database, autocommit=True) as owner:
        for hours in (0.2, 1.4, 3.3, 27.1):
            mark_us = START_US + int(hours * HOUR_US)
            history.flush(history.points(80, mark_us - HOUR_US // 2, mark_us + HOUR_US), mark_us)
            while refresh_some(writer):
                pass
            whole = in_order(history.stored)
            for level in map(Level.of, widths_us):
                assert_same(rows_of(owner, level, "parts"), aggregate(whole, level.width_us))


def test_a_counter_and_a_gauge_go_on_across_the_edges_of_buckets(database: str, writer: Connection) -> None:
    history = History(writer, 0)
    parts = [
        reading(10, 100.0),
        reading(40, 130.0),
        reading(20, 20.0, minute=2),
        reading(30, 99.0, BAD, minute=2),
        reading(15, 25.0, minute=3),
        reading(45, 35.0, minute=4),
    ]
    history.flush(Points.concat(parts), START_US + 3 * MINUTE_US)

    with psycopg.connect(as_reader(database)) as reader:
        found = reader.execute(
            "SELECT source, metric, readings, bad, mean, stddev, increase, rate, time_weighted_mean, complete"
            " FROM rollup_1m ORDER BY bucket"
        ).fetchall()

    assert found == [
        # From the first reading on: nothing is known of the time before.
        (
            "pump-1",
            "metric-1",
            2,
            0,
            115.0,
            pytest.approx(450**0.5),
            30.0,
            1.0,
            (30 * 100 + 20 * 130) / 50,
            True,
        ),
        # The counter began again; 130 held for 20 seconds.
        ("pump-1", "metric-1", 2, 1, 20.0, None, 20.0, 0.2, (20 * 130 + 40 * 20) / 60, True),
        # Of open buckets, as far as readings have come.
        ("pump-1", "metric-1", 1, 0, 25.0, None, 5.0, pytest.approx(5 / 55), 20.0, False),
        ("pump-1", "metric-1", 1, 0, 35.0, None, 10.0, pytest.approx(10 / 90), 25.0, False),
    ]


def test_a_value_is_not_carried_on_for_more_than_a_day(database: str, writer: Connection) -> None:
    history = History(writer, 0)
    history.flush(
        Points.concat([reading(0, 5.0), reading(30, 9.0, minute=24 * 60 + 1)]), START_US + 3 * DAY_US
    )

    with psycopg.connect(as_reader(database)) as reader:
        found = reader.execute(
            "SELECT increase, rate, time_weighted_mean FROM rollup_1m ORDER BY bucket"
        ).fetchall()

    assert found == [(0.0, None, 5.0), (0.0, None, 9.0)]


def test_no_value_however_large_or_small_keeps_anybody_from_the_view(
    database: str, writer: Connection
) -> None:
    history = History(writer, 0)
    values = [1e140, -1e140, 1.7e308, 5e-324, -5e-324, 0.0, 1e-160, 1e-150, np.nan]
    parts = [
        reading(second / 7, value, BAD if np.isnan(value) else GOOD, minute)
        for minute in range(40)
        for second, value in enumerate(values[minute % 9 :] + values[: minute % 9])
    ]
    # Their means differ by less than what can be squared.
    parts += [reading(0, minute * 1e-170, minute=minute) for minute in range(40, 55)]
    history.flush(Points.concat(parts), START_US + 17 * MINUTE_US)

    with psycopg.connect(as_reader(database)) as reader:
        for view in (Identifier(level.table.replace("closed_", "")) for level in LEVELS):
            found = reader.execute(SQL("SELECT * FROM {}").format(view)).fetchall()
            assert sum(row[4] for row in found) == len(parts)


def test_a_mark_of_an_open_bucket_waits(writer: Connection) -> None:
    history = History(writer, 0)
    history.flush(reading(50, 1.0), START_US + 30 * 10**6)
    history.flush(reading(10, 2.0), START_US + 40 * 10**6)
    assert refresh_some(writer) == []

    history.flush(Points.concat([]), START_US + MINUTE_US)
    assert rows_of(writer, LEVELS[0]).readings.tolist() == [1]
    assert refresh_some(writer) == [Refreshed("1m", marks=1, revised=1)]
    assert rows_of(writer, LEVELS[0]).readings.tolist() == [2]
    ((revision,),) = writer.execute("SELECT revision FROM rollup_closed_1m").fetchall()
    assert revision == 1
    assert writer.execute("SELECT width_s FROM dirty_buckets").fetchall() == [(900,)]


def test_what_comes_out_the_same_is_not_a_revision(writer: Connection) -> None:
    history = History(writer, 0)
    history.flush(reading(50, 1.0), START_US + DAY_US)
    writer.execute("INSERT INTO dirty_buckets (series_id, bucket) VALUES (1, %s)", (timestamp(START_US),))

    assert refresh_some(writer) == [Refreshed("1m", marks=1, revised=0)]
    assert writer.execute("SELECT revision FROM rollup_closed_1m").fetchall() == [(0,)]
    assert writer.execute("SELECT count(*) FROM dirty_buckets").fetchall() == [(0,)]


def test_a_level_is_computed_when_all_below_it_is(database: str, writer: Connection) -> None:
    history = History(writer, 0)
    history.flush(history.points(300, START_US, START_US + 2 * HOUR_US), START_US + DAY_US)
    with psycopg.connect(database, autocommit=True) as owner:
        # As if minutes were kept only since now, the others from before.
        owner.execute("TRUNCATE rollup_closed_1m")
        owner.execute(
            "INSERT INTO dirty_buckets (series_id, bucket)"
            " SELECT DISTINCT series_id, date_bin('1 minute', ts, 'epoch') FROM readings"
        )
        owner.execute(
            "INSERT INTO dirty_buckets (series_id, bucket, width_s)"
            " SELECT series_id, bucket, 900 FROM rollup_closed_15m"
        )
    while refresh_some(writer, most=10):
        quarters = rows_of(writer, LEVELS[1])
        assert_same(quarters, aggregate(in_order(history.stored), LEVELS[1].width_us))

    assert misrolled(database) == {}


def test_one_session_at_a_time_computes(database: str, writer: Connection) -> None:
    history = History(writer, 0)
    history.flush(reading(50, 1.0), START_US + DAY_US)
    history.flush(reading(10, 1.0), START_US + DAY_US)
    with connect(as_writer(database), "another") as another, another.transaction():
        another.execute("SELECT pg_advisory_xact_lock(hashtext('streamgauge rollups'))")
        assert refresh_some(writer) == []
    assert refresh_some(writer) == ALL_REVISED


def test_a_flush_does_not_wait_for_whoever_computes(database: str, writer: Connection) -> None:
    """Not even where what is computed is stored in a chunk that was not there: the flush has one."""
    history = History(writer, 0)
    last, next_day, long_ago = 24 * 60 - 5, 24 * 60, -400 * 24 * 60
    history.flush(Points.concat([reading(50, 1.0), reading(0, 1.0, minute=last)]), START_US + DAY_US)
    history.flush(reading(10, 1.0, minute=long_ago), START_US + DAY_US)
    chunks = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name LIKE 'rollup_closed%'"
    with connect(as_writer(database), "another") as another:
        ((before,),) = another.execute(chunks).fetchall()
        another.execute("BEGIN")
        assert refresh_some(another) == ALL_REVISED
        assert another.execute(chunks).fetchall() == [(before + len(LEVELS),)]
        writer.execute("SET lock_timeout TO '1s'")
        history.flush(
            Points.concat([reading(20, 1.0), reading(70, 1.0, minute=next_day)]),
            START_US + DAY_US + HOUR_US // 2,
        )
        another.execute("COMMIT")
    assert refresh_some(writer) == ALL_REVISED
    assert rows_of(writer, LEVELS[0]).readings.tolist() == [1, 2, 1, 1]


def test_a_long_batch_is_not_taken_for_a_dead_worker(database: str) -> None:
    with connect(as_writer(database), "gone") as gone, connect(as_writer(database), "rollups/me") as busy:
        gone.execute("BEGIN")
        busy.execute("BEGIN")
        busy.execute("SELECT pg_sleep(3.5)")
        with connect(as_writer(database), "another"):
            pass
        assert busy.execute("SELECT 1").fetchall() == [(1,)]
        with pytest.raises(psycopg.OperationalError):
            gone.execute("SELECT 1")
