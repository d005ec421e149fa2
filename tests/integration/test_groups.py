"""Buckets of groups that are kept are those that members make, whatever came late and was moved."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from sinks.timescale.refresh import refresh_some
from sinks.timescale.session import Connection
from sinks.timescale.times import timestamp
from streams.core.levels import MINUTE_US
from tests.databases import as_reader
from tests.integration.rollups import HOUR_US, START_US, History

pytestmark = pytest.mark.stack

FILL = """
    TRUNCATE placements, metrics, rollup_sketches, sketch_marks, group_blocks, group_work;
    UPDATE group_sweep SET swept_to = '-infinity';
    INSERT INTO metrics (metric, quantiles) VALUES ('rpm', true);
    INSERT INTO series (tenant, source, metric, home_topic, home_partition)
    SELECT 'default', 'pump-' || n, 'rpm', 'readings', 0 FROM generate_series(4, 8) AS n;
    UPDATE series SET metric = 'rpm', source = 'pump-' || series_id,
                      attributes = jsonb_build_object('site', 'north', 'zone', 'hall-' || mod(series_id, 2));
"""
NODES = ("'{}'", "'{north}'", "'{north}', 'zone'", "'{north,hall-1}'", "'{}', placed => now()")
SINCE, UNTIL = START_US + 7 * MINUTE_US + 1, START_US + 9 * HOUR_US + 1
MARKED = "INSERT INTO dirty_buckets (series_id, bucket) VALUES (1, %s)"


@pytest.fixture
def owner(database: str, writer: Connection) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute(FILL)
        yield session


def work(writer: Connection, owner: psycopg.Connection[Any]) -> None:
    """Do all that is to be done, and what is to be done some time later, now."""
    while (
        refresh_some(writer)
        or owner.execute("UPDATE group_work SET due_at = now() WHERE due_at > now() RETURNING 1").fetchall()
    ):
        pass


def told(session: psycopg.Connection[Any]) -> list[Any]:
    """Return what is told of groups, of sums what does not depend on the order of adding."""
    between = f"'{timestamp(SINCE)}', '{timestamp(UNTIL)}'"
    return [
        [
            tuple(float(f"{each:.9g}") if isinstance(each, float) else each for each in row)
            for row in session.execute(query.encode())
        ]
        for level in ("1m", "15m")
        for node in NODES
        for query in (
            f"SELECT bucket, site, zone, series, members, readings, bad, min, max, worst_value, complete"
            f" FROM group_rollup('{level}', 'rpm', {between}, {node})",
            f"SELECT bucket, site, zone, series, members, sketch::text FROM"
            f" group_quantiles('{level}', 'rpm', {between}, {node})",
        )
    ]


def assert_the_same_without(owner: psycopg.Connection[Any]) -> None:
    with owner.transaction(force_rollback=True):
        seen = told(owner)
        owner.execute("TRUNCATE group_blocks")
        assert told(owner) == seen


def put(owner: psycopg.Connection[Any], pump: int, zone: str, time_us: int) -> None:
    owner.execute(
        "SELECT place_series('default', %s, 'rpm', 'north', %s, since => %s)",
        (f"pump-{pump}", zone, timestamp(time_us)),
    )


@pytest.mark.parametrize("seed", range(2))
def test_whatever_comes_late_or_is_moved_what_is_kept_is_what_is_made(
    seed: int, writer: Connection, owner: psycopg.Connection[Any]
) -> None:
    history = History(writer, seed)
    to_us = START_US + 2 * HOUR_US
    for step in range(4):
        history.flush(history.points(150, START_US, to_us + HOUR_US), to_us)
        assert_the_same_without(owner)
        if step % 2 == 0:
            work(writer, owner)
            assert owner.execute("SELECT count(*) > 9 FROM group_blocks").fetchall() == [(True,)]
            assert_the_same_without(owner)
        move_us = START_US + int(history.random.integers(0, 300)) * MINUTE_US
        put(owner, int(history.random.integers(1, 4)), f"hall-{history.random.integers(0, 3)}", move_us)
        assert_the_same_without(owner)
        to_us += 90 * MINUTE_US
    owner.execute("UPDATE metrics SET worst = 'lowest'")
    assert_the_same_without(owner)
    owner.execute("UPDATE metrics SET quantiles = false")
    owner.execute("INSERT INTO group_work VALUES ('default', 'rpm', now()) ON CONFLICT DO NOTHING")
    work(writer, owner)
    owner.execute("UPDATE metrics SET quantiles = true")
    assert_the_same_without(owner)


def kept(owner: psycopg.Connection[Any]) -> set[Any]:
    return set(owner.execute("SELECT width_s, begins, members FROM group_blocks"))


def test_only_what_something_late_falls_into_is_made_again_and_what_is_old_goes(
    writer: Connection, owner: psycopg.Connection[Any], database: str
) -> None:
    history = History(writer, 5)
    history.flush(history.points(200, START_US, START_US + 5 * HOUR_US), START_US + 5 * HOUR_US + 1)
    work(writer, owner)
    before = kept(owner)
    assert len({begins for width_s, begins, _ in before if width_s == 60}) == 2 * 24 * 4
    at = timestamp(START_US + 2 * HOUR_US)
    owner.execute("INSERT INTO readings (series_id, ts, value, quality) VALUES (1, %s, 5, 0)", (at,))
    owner.execute(MARKED, (at,))
    assert refresh_some(writer)
    gone = before - kept(owner)
    assert {begins for width_s, begins, _ in gone if width_s == 60} == {at}
    assert kept(owner) < before
    assert_the_same_without(owner)
    work(writer, owner)
    assert kept(owner) == before

    with psycopg.connect(as_reader(database)) as analyst:
        seen = told(analyst)
        owner.execute("UPDATE group_blocks SET buckets = '{}'")
        assert told(analyst) != seen, "what is kept is what is read"
    history.flush(history.points(1, START_US, START_US + HOUR_US), START_US + 80 * HOUR_US)
    work(writer, owner)
    days = timestamp(START_US + 80 * HOUR_US) - timedelta(days=2, minutes=15)
    assert min(begins for _, begins, _ in kept(owner)) >= days
    owner.execute("DELETE FROM series WHERE series_id > 2")
    owner.execute("INSERT INTO group_work VALUES ('default', 'rpm', now())")
    work(writer, owner)
    assert kept(owner) == set(), "two series are as quick to read"
