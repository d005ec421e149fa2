"""The readings topic gets another name: nothing is closed twice, and nothing is left open for good."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from sinks.protocols import Partition
from sinks.timescale.refresh import refresh_some
from sinks.timescale.rollups import load_rollups
from sinks.timescale.session import Connection
from sinks.timescale.times import timestamp
from streams.core.aggregate import aggregate
from streams.core.batch import Points
from streams.core.levels import DAY_US, MINUTE_US
from tests.integration.ingest import MakeIngest
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
from tests.integration.test_ingest_rollups import send

pytestmark = pytest.mark.stack

NEW = Partition("renamed", 0)
MOVE = "SELECT move_homes('readings', 'renamed')"
REACHED = "SELECT log_clock, clock_era, watermark, released_to FROM progress ORDER BY topic"


def go_on(writer: Connection, history: History, from_us: int, readings: int = 50) -> None:
    """Have the owner of the renamed topic close what is open, and hold all levels to the readings."""
    history.rollups = load_rollups(writer, NEW, from_us)
    history.released_us = from_us
    history.held = history.held.take(history.held.time_us >= from_us)
    to_us = START_US + 3 * DAY_US
    history.flush(history.points(readings, from_us, from_us + HOUR_US), to_us)
    while refresh_some(writer):
        pass
    whole = in_order(history.stored)
    for level in LEVELS:
        assert_same(rows_of(writer, level), aggregate(whole, level.width_us))


def test_the_new_topic_goes_on_where_the_old_one_was(database: str, writer: Connection) -> None:
    history = History(writer, 0)
    mark_us = START_US + 3 * HOUR_US // 2
    history.flush(history.points(200, START_US, mark_us + HOUR_US), mark_us)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("UPDATE progress SET log_clock = now(), clock_era = 2, watermark = released_to")
        assert owner.execute(MOVE).fetchall() == [(3,)]
        before, after = owner.execute(REACHED).fetchall()
        assert owner.execute("SELECT count(*) FROM dirty_buckets").fetchall() == [(0,)]

    assert before == after
    go_on(writer, history, mark_us)


@pytest.mark.parametrize("ahead_us", [-HOUR_US // 2, 2 * HOUR_US + 7_000_000])
def test_what_either_had_not_closed_is_computed_where_both_were_read(
    database: str, writer: Connection, ahead_us: int
) -> None:
    """Series 3 has its home on the new topic, which is ahead or behind."""
    old, new = History(writer, 0), History(writer, 1)
    mark_us = START_US + 3 * HOUR_US // 2 + 10_000_000
    points = old.points(400, START_US, mark_us + 4 * HOUR_US)
    old.flush(points.take(points.series_id != 3), mark_us)
    new.flush(points.take(points.series_id == 3), mark_us + ahead_us)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("UPDATE series SET home_topic = 'renamed' WHERE series_id = 3")
        owner.execute("INSERT INTO progress VALUES ('renamed', 0, 1, 0, 'me', 'me')")
        for name, history in (("readings", old), ("renamed", new)):
            released_to = timestamp(history.released_us)
            owner.execute("UPDATE progress SET released_to = %s WHERE topic = %s", (released_to, name))
        owner.execute(MOVE)

    old.stored, old.held = Points.concat([old.stored, new.stored]), Points.concat([old.held, new.held])
    go_on(writer, old, max(old.released_us, new.released_us))


def test_what_a_series_had_sent_is_in_wider_buckets_where_it_sends_nothing_more(
    database: str, writer: Connection
) -> None:
    history = History(writer, 0)
    history.flush(reading(5, 1.0, minute=31), START_US + 37 * MINUTE_US)
    ahead_us = START_US + 2 * HOUR_US
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("INSERT INTO progress VALUES ('renamed', 0, 1, 0, 'me', 'me')")
        owner.execute("UPDATE progress SET released_to = %s WHERE topic = 'renamed'", (timestamp(ahead_us),))
        owner.execute(MOVE)

    go_on(writer, history, ahead_us, readings=0)


def test_workers_go_on_with_a_topic_of_another_name(
    make_ingest: MakeIngest, new_topic: Callable[..., str]
) -> None:
    run = make_ingest(partitions=1, message_timestamp_type="CreateTime")
    worker = run.worker()
    for second in range(0, 150, 10):
        send(run, second, float(second))
    run.drained()
    assert worker.stop() == 0
    renamed = new_topic(message_timestamp_type="CreateTime", retention_ms="-1")
    assert run.one("SELECT move_homes(%s, %s)", run.topic, renamed) == 1
    run.topic = renamed
    worker = run.worker()
    for second in range(150, 300, 10):
        send(run, second, float(second))
    run.drained()

    closed = run.session.execute("SELECT readings, revision FROM rollup_closed_1m ORDER BY bucket").fetchall()
    assert closed == [(6, 0)] * 4
    assert worker.stop() == 0
