"""Which levels a database keeps can be changed at any time."""

from __future__ import annotations

import psycopg
import pytest

from sinks.timescale.levels import apply_levels, levels_lacking
from sinks.timescale.migrate import MigrationError
from sinks.timescale.refresh import refresh_some
from sinks.timescale.rollups import (
    Level,
)
from sinks.timescale.session import Connection
from sinks.timescale.times import timestamp
from streams.core.aggregate import aggregate
from streams.core.levels import DAY_US, parse_levels
from streams.core.rollup import LEVELS_US
from tests.integration.rollups import (
    HOUR_US,
    LEVELS,
    START_US,
    History,
    assert_same,
    in_order,
    reading,
    rows_of,
)

pytestmark = pytest.mark.stack


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


def test_what_waits_is_computed_where_the_lowest_level_is_given_up(database: str, writer: Connection) -> None:
    history = History(writer, 0)
    history.flush(history.points(100, START_US, START_US + HOUR_US), START_US + DAY_US)
    history.flush(reading(10.0005, 1.0), START_US + DAY_US)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("UPDATE dirty_buckets SET width_s = 900")
        owner.execute("TRUNCATE rollup_closed_1m")
    apply_levels(database, parse_levels("15m,1h,1d"))
    while refresh_some(writer):
        pass

    whole = in_order(history.stored)
    assert writer.execute("SELECT count(*) FROM dirty_buckets").fetchall() == [(0,)]
    for level in LEVELS[1:]:
        assert_same(rows_of(writer, level), aggregate(whole, level.width_us))


def test_several_levels_are_given_up_at_once(database: str, writer: Connection) -> None:
    apply_levels(database, parse_levels("1m,4h"))
    assert levels_lacking(database, parse_levels("1m,4h")) == ""
    history = History(writer, 0, parse_levels("1m,4h"))
    history.flush(reading(50, 1.0), START_US + DAY_US)
    assert rows_of(writer, Level.of(4 * HOUR_US)).readings.tolist() == [1]
