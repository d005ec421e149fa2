"""What flushes do to rollups, without a log, and what is found of it in the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from jobs.verify.rollups import compare_rollups
from jobs.verify.sketches import compare_sketches
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
from sinks.timescale.levels import apply_levels
from sinks.timescale.refresh import Refreshed
from sinks.timescale.rollups import (
    TYPES,
    Level,
    copy_closed,
    decode_rollups,
    load_rollups,
)
from sinks.timescale.session import Connection, connect
from sinks.timescale.times import timestamp
from streams.core.aggregate import Aggregates
from streams.core.batch import NEVER_US, Points
from streams.core.levels import DAY_US, MINUTE_US
from streams.core.order import dirty_buckets
from streams.core.rollup import LEVELS_US, Rollups, begin_us
from tests.builders import BASE_US
from tests.databases import as_writer

HOUR_US = 60 * MINUTE_US
START_US = begin_us(BASE_US, DAY_US) + 22 * HOUR_US
LEVELS = [Level.of(width_us) for width_us in LEVELS_US]
EXACT = ("series_id", "bucket_us", "readings", "bad", "min", "max", "first", "first_us", "last", "last_us")
HOME = Partition("readings", 0)


@pytest.fixture
def writer(database: str) -> Iterator[Connection]:
    """Yield a worker's connection to a database with three series of one partition."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            "TRUNCATE progress, series, readings, reading_versions, producers, producer_journal,"
            " dirty_buckets RESTART IDENTITY"
        )
        owner.execute("UPDATE raw_retention SET kept_from = '-infinity'")
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
        once = once[np.array(fresh, np.bool_)[once]]
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


def misrolled(database: str) -> dict[str, int]:
    """Return of which levels verification finds wrong buckets, and how many."""
    with open_snapshot(database) as session:
        compare_rollups(session, HOME.topic)
        compare_sketches(session, HOME.topic)
        found = session.execute(
            "SELECT substring(detail FROM '[0-9]+[smhd]'), count(*) FROM faults GROUP BY 1"
        ).fetchall()
    return dict(found)
