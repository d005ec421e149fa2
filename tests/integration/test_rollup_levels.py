"""Which levels a database keeps can be changed at any time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

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
from streams.settings import PROJECT_ROOT
from tests.documents import blocks
from tests.integration.rollups import (
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
from tests.waiting import eventually

RUNBOOK = PROJECT_ROOT / "docs" / "runbook.md"

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


def test_of_a_level_below_others_part_of_the_history_changes_none_of_them(
    database: str, writer: Connection
) -> None:
    apply_levels(database, parse_levels("15m,1d"))
    history = History(writer, 0, parse_levels("15m,1d"))
    history.flush(history.points(400, START_US, START_US + 3 * HOUR_US), START_US + 2 * DAY_US)
    history.flush(reading(10.0005, 1.0), START_US + 2 * DAY_US)
    while refresh_some(writer):
        pass
    apply_levels(database, parse_levels("1m,15m,1d"))
    assert writer.execute("SELECT waiting FROM rollup_state").fetchall() == [(1,)]
    history.flush(reading(10.0015, 1.0, minute=1), START_US + 2 * DAY_US)

    whole, steps = in_order(history.stored), 0
    others = whole.take(whole.time_us >= START_US + HOUR_US // 4)
    while done := refresh_some(writer, most=20):
        if not any(each.marks for each in done):
            continue
        steps += 1
        quarters = rows_of(writer, LEVELS[1])
        later = quarters.take(quarters.bucket_us >= START_US + HOUR_US // 4)
        assert_same(later, aggregate(others, LEVELS[1].width_us))
        assert misrolled(database) == {}
    assert steps > 18  # ten minutes each
    assert writer.execute("SELECT waiting FROM rollup_state").fetchall() == [(0,)]
    for level in (LEVELS[0], LEVELS[1], LEVELS[3]):
        assert_same(rows_of(writer, level), aggregate(whole, level.width_us))


def test_a_level_that_lost_its_rows_is_computed_again(database: str, writer: Connection) -> None:
    history = History(writer, 0)
    history.flush(history.points(200, START_US, START_US + HOUR_US), START_US + DAY_US)
    (update,) = [block for block in blocks(RUNBOOK, "sql") if "unmarked_before" in block.text]
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("TRUNCATE rollup_closed_1m")
        owner.execute(update.text.encode())
    history.flush(reading(10.0005, 1.0), START_US + DAY_US)
    while refresh_some(writer, most=20):
        pass

    whole = in_order(history.stored)
    for level in LEVELS:
        assert_same(rows_of(writer, level), aggregate(whole, level.width_us))


WAITING = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


def test_levels_do_not_change_while_somebody_stores(database: str, writer: Connection) -> None:
    """A flush has stored its rollups and is about to move its progress: it is waited for."""
    with psycopg.connect(database, autocommit=True) as watching, ThreadPoolExecutor() as threads:
        writer.execute("BEGIN")
        writer.execute("LOCK TABLE rollup_closed_15m IN ROW EXCLUSIVE MODE")
        change = threads.submit(apply_levels, database, parse_levels("1m,1h,1d"))
        eventually(lambda: watching.execute(WAITING).fetchall() == [(1,)], "the change to wait")
        writer.execute("UPDATE progress SET released_to = now()")
        writer.execute("COMMIT")
        assert change.result(30)
    assert levels_lacking(database, parse_levels("1m,1h,1d")) == ""


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
