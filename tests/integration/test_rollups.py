"""Rollups in the database: after any history they are what all readings make, in tables and views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from jobs.verify.rollups import compare_rollups
from jobs.verify.snapshot import open_snapshot
from schemas.encode import BAD, GOOD
from sinks.protocols import Partition
from sinks.timescale.copy import (
    DIRTY_BUCKETS,
    FLAGGED_READINGS,
    copy_rows,
    encode_buckets,
    encode_readings,
    read_rows,
)
from sinks.timescale.levels import apply_levels, levels_lacking
from sinks.timescale.migrate import MigrationError
from sinks.timescale.refresh import Refreshed, refresh_some
from sinks.timescale.rollups import (
    TYPES,
    Level,
    copy_closed,
    decode_rollups,
    load_rollups,
)
from sinks.timescale.session import Connection, connect
from sinks.timescale.times import timestamp
from streams.core.aggregate import Aggregates, aggregate
from streams.core.batch import NEVER_US, Points
from streams.core.levels import DAY_US, MINUTE_US, parse_levels
from streams.core.order import dirty_buckets
from streams.core.rollup import LEVELS_US, Rollups, begin_us
from tests.builders import BASE_US
from tests.databases import as_reader, as_writer

pytestmark = pytest.mark.stack

HOUR_US = 60 * MINUTE_US
START_US = begin_us(BASE_US, DAY_US) + 22 * HOUR_US
LEVELS = [Level.of(width_us) for width_us in LEVELS_US]
EXACT = ("series_id", "bucket_us", "readings", "bad", "min", "max", "first", "first_us", "last", "last_us")
HOME = Partition("readings", 0)


@pytest.fixture
def writer(database: str) -> Iterator[Connection]:
    """Yield a worker's connection to a database with three series of one partition."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("TRUNCATE progress, series, readings, dirty_buckets RESTART IDENTITY")
        for (name,) in owner.execute("SELECT name FROM rollup_levels").fetchall():
            owner.execute(SQL("TRUNCATE {}").format(Identifier(f"rollup_closed_{name}")))
    apply_levels(database, LEVELS_US)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("INSERT INTO progress VALUES ('readings', 0, 1, 0, 'me', 'me')")
        owner.execute(
            "INSERT INTO series (tenant, source, metric, home_topic, home_partition)"
            " SELECT 'default', 'pump-1', 'metric-' || n, 'readings', 0 FROM generate_series(1, 3) AS n"
        )
    with connect(as_writer(database), "me") as session:
        yield session


class History:
    """What flushes do with readings that come in some order, without a log."""

    def __init__(self, session: Connection, seed: int, widths_us: Sequence[int] = LEVELS_US) -> None:
        self.session = session
        self.random = np.random.default_rng(seed)
        self.rollups = Rollups(widths_us)
        self.released_us = NEVER_US
        self.stored = Points.concat([])
        self.held = Points.concat([])

    def flush(self, points: Points, to_us: int) -> None:
        """Store readings, late and in time, and release all before ``to_us``."""
        late = points.time_us < self.released_us
        self.held = Points.concat([self.held, points.take(~late)])
        out = self.held.time_us < to_us
        released, self.held = in_order(self.held.take(out)), self.held.take(~out)
        closing = self.rollups.close(released, to_us)
        dirty = dirty_buckets(points.series_id[late], points.time_us[late])
        with self.session.transaction():
            copy_rows(self.session, FLAGGED_READINGS, encode_readings(*points, late))
            copy_rows(self.session, DIRTY_BUCKETS, encode_buckets(*dirty))
            copy_closed(self.session, [closing])
            self.session.execute("UPDATE progress SET released_to = %s", (timestamp(to_us),))
        self.rollups.apply(closing)
        self.stored, self.released_us = Points.concat([self.stored, points]), to_us

    def lose_memory(self) -> None:
        self.rollups = load_rollups(self.session, HOME, self.released_us)

    def points(self, count: int, from_us: int, to_us: int) -> Points:
        """Return new readings within some time, none at a time that is taken."""
        taken = set(zip(self.stored.series_id.tolist(), self.stored.time_us.tolist(), strict=True))
        series = self.random.integers(1, 4, count).astype(np.int32)
        time_us = self.random.integers(from_us // 1000, to_us // 1000, count) * 1000
        fresh = [key not in taken for key in zip(series.tolist(), time_us.tolist(), strict=True)]
        _, once = np.unique(np.stack([series, time_us]), axis=1, return_index=True)
        once = once[np.array(fresh)[once]]
        quality = np.where(self.random.random(count) < 0.1, BAD, GOOD).astype(np.int16)
        value = np.where(quality == BAD, np.nan, self.random.choice([0.0, 1e15, 1e-300, 7.5, -3.25], count))
        return Points(series, time_us, value, quality).take(once)


ALL_REVISED = [Refreshed(level.name, marks=1, revised=1) for level in LEVELS]


def reading(second: float, value: float, quality: int = GOOD, minute: int = 0) -> Points:
    """Return a reading of the first series, so many minutes and seconds after the start."""
    time_us = START_US + minute * MINUTE_US + round(second * 1e6)
    return Points(
        np.array([1], np.int32), np.array([time_us]), np.array([value]), np.array([quality], np.int16)
    )


def in_order(points: Points) -> Points:
    return points.take(np.lexsort((points.time_us, points.series_id)))


def rows_of(session: Connection, level: Level, source: str = "closed") -> Aggregates:
    """Return the rows of a level: its table's, or those of the view that adds open buckets."""
    table = level.table.replace("closed", source)
    columns = ", ".join(f"coalesce({name}, {none})" if (none := NONE.get(name)) else name for name in TYPES)
    query: Any = f"SELECT {columns} FROM {table}"
    return decode_rollups(read_rows(session, query, (), **TYPES))


NOTHING = 1e-270
"""The views take less for zero: PostgreSQL refuses products that are nearer to it than a double can be."""
NONE = {
    **dict.fromkeys(("min", "max", "first", "last"), "'NaN'"),
    **dict.fromkeys(("first_at", "last_at"), "'-infinity'"),
}


def assert_same(rows: Aggregates, wanted: Aggregates) -> None:
    for name in EXACT:
        assert getattr(rows, name).tolist() == pytest.approx(
            getattr(wanted, name).tolist(), rel=0, abs=0, nan_ok=True
        ), name
    for name in ("sum", "m2", "increase", "integral"):
        got, exact = getattr(rows, name), getattr(wanted, name)
        scale = np.maximum(np.abs(wanted.max), np.abs(wanted.min)) ** (2 if name == "m2" else 1)
        seconds = DAY_US / 1e6 if name == "integral" else 1.0
        room = 1e-9 * np.abs(exact) + 1e-14 * np.nan_to_num(scale) * wanted.readings * seconds + NOTHING
        assert (np.abs(got - exact) <= room).all(), name


SOME_LEVELS = ["1m,15m,1h,1d", "10s,1m,1h", "15m,1d"]


@pytest.mark.parametrize("levels", SOME_LEVELS)
@pytest.mark.parametrize("seed", range(2))
def test_after_any_history_rollups_are_what_all_readings_make(
    database: str, writer: Connection, levels: str, seed: int
) -> None:
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


def test_one_session_at_a_time_computes(database: str, writer: Connection) -> None:
    history = History(writer, 0)
    history.flush(reading(50, 1.0), START_US + DAY_US)
    history.flush(reading(10, 1.0), START_US + DAY_US)
    with connect(as_writer(database), "another") as another, another.transaction():
        another.execute("SELECT pg_advisory_xact_lock(hashtext('streamgauge rollups'))")
        assert refresh_some(writer) == []
    assert refresh_some(writer) == ALL_REVISED


def test_a_flush_does_not_wait_for_whoever_computes(database: str, writer: Connection) -> None:
    history = History(writer, 0)
    history.flush(reading(50, 1.0), START_US + DAY_US)
    history.flush(reading(10, 1.0), START_US + DAY_US)
    with connect(as_writer(database), "another") as another:
        another.execute("BEGIN")
        assert refresh_some(another) == ALL_REVISED
        writer.execute("SET lock_timeout TO '1s'")
        history.flush(
            Points.concat([reading(20, 1.0), reading(70, 1.0, minute=24 * 60)]), START_US + 3 * DAY_US
        )
        another.execute("COMMIT")
    assert refresh_some(writer) == ALL_REVISED
    assert rows_of(writer, LEVELS[0]).readings.tolist() == [3, 1]


def misrolled(database: str) -> dict[str, int]:
    """Return of which levels verification finds wrong buckets, and how many."""
    with open_snapshot(database) as session:
        compare_rollups(session, HOME.topic)
        found = session.execute(
            "SELECT substring(detail FROM '[0-9]+[smhd]'), count(*) FROM faults GROUP BY 1"
        ).fetchall()
    return dict(found)


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


def test_a_level_that_is_added_is_computed_from_what_is_there(database: str, writer: Connection) -> None:
    history = History(writer, 0)
    history.flush(history.points(200, START_US, START_US + 5 * HOUR_US), START_US + 4 * HOUR_US)
    widths_us = parse_levels("10s,1m,15m,1h,4h,1d")

    said = apply_levels(database, widths_us, dry_run=True)
    assert said == "the database keeps rollups of 1m, 15m, 1h, 1d, and not of 10s, 1m, 15m, 1h, 4h, 1d"
    assert levels_lacking(database, LEVELS_US) == ""
    assert apply_levels(database, widths_us) == said
    assert apply_levels(database, widths_us) == ""
    while refresh_some(writer):
        pass

    whole = in_order(history.stored)
    for level in map(Level.of, widths_us):
        wanted = aggregate(whole, level.width_us)
        assert_same(
            rows_of(writer, level), wanted.take(wanted.bucket_us + level.width_us <= history.released_us)
        )


def test_whoever_held_partitions_when_levels_changed_holds_them_no_more(
    database: str, writer: Connection
) -> None:
    ((before,),) = writer.execute("SELECT epoch FROM progress").fetchall()
    apply_levels(database, parse_levels("1m,1h"))

    assert writer.execute("SELECT epoch FROM progress").fetchall() == [(before + 1,)]


def test_a_level_is_given_up_only_when_it_has_no_rows_and_those_above_are_kept(
    database: str, writer: Connection
) -> None:
    history = History(writer, 0)
    history.flush(reading(50, 1.0), START_US + DAY_US)
    with pytest.raises(MigrationError, match="level 15m of the rollups has rows") as refusal:
        apply_levels(database, parse_levels("1m,1h,1d"))
    assert refusal.value.hint.endswith("TRUNCATE rollup_closed_15m")
    assert levels_lacking(database, LEVELS_US) == ""

    history.flush(reading(10, 1.0), START_US + DAY_US)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("TRUNCATE rollup_closed_15m")
        owner.execute(
            "INSERT INTO dirty_buckets (series_id, bucket, width_s) VALUES (1, %s, 900)",
            (timestamp(START_US),),
        )
    apply_levels(database, parse_levels("1m,1h,1d"))

    assert writer.execute("SELECT width_s FROM dirty_buckets ORDER BY 1").fetchall() == [(0,), (3600,)]
    while refresh_some(writer):
        pass
    assert rows_of(writer, LEVELS[3]).readings.tolist() == [2]
