"""Sketches of metrics that ask for quantiles are what all readings make, to within what they promise."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import errors

from jobs.archive.target import Target
from jobs.retention.policies import Policy, set_policy
from jobs.retention.run import open_session, run
from sinks.timescale.levels import apply_levels
from sinks.timescale.refresh import Refreshed, refresh_some
from sinks.timescale.session import Connection
from sinks.timescale.times import timestamp
from streams.core.levels import DAY_US, MINUTE_US, parse_levels
from streams.core.rollup import LEVELS_US, begin_us
from tests.databases import as_reader
from tests.integration.rollups import HOUR_US, START_US, History, misrolled, reading

pytestmark = pytest.mark.stack

ERROR = 0.01
NEARLY = ERROR + 1e-9
VALUES = st.one_of(
    st.floats(-1e140, 1e140).filter(lambda value: value == 0 or abs(value) >= 1e-140),
    st.sampled_from([0.0, -1.0, 1.0, 1e140, -1e140, 1e-140, 101 / 99, 25.0]),
)
STORED = "SELECT width_s, series_id, bucket, keys, counts FROM rollup_sketches ORDER BY 1, 2, 3"
MADE = """
    SELECT l.width_s, k.series_id, k.bucket, k.keys, k.counts
    FROM rollup_levels AS l
    CROSS JOIN LATERAL (
        SELECT series_id, date_bin(make_interval(secs => l.width_s), ts, 'epoch') AS bucket,
               (sketch_of(array_agg(sketch_key(usable(value, quality))), array_agg(1::bigint))).*
        FROM readings WHERE usable(value, quality) IS NOT NULL GROUP BY 1, 2
    ) AS k
    JOIN sketch_marks AS m ON m.series_id = k.series_id AND m.width_s = l.width_s AND k.bucket < m.sketched_to
    ORDER BY 1, 2, 3
"""


@pytest.fixture
def owner(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("TRUNCATE rollup_sketches, sketch_marks, metrics, series_retention, archive_files")
        yield session


@pytest.fixture(scope="module")
def asking(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(as_reader(database), autocommit=True) as session:
        yield session


def ask(owner: psycopg.Connection[Any], *metrics: str) -> None:
    for metric in metrics:
        owner.execute("INSERT INTO metrics (metric, quantiles) VALUES (%s, true)", (metric,))


def refresh(session: Connection) -> list[Refreshed]:
    """Do all that is to be done."""
    all_done: list[Refreshed] = []
    while done := refresh_some(session):
        all_done += done
    return all_done


def exact(values: list[float], q: float) -> float:
    return float(np.quantile(values, q, method="inverted_cdf" if q == 0 else "lower"))


def near(found: float, wanted: float) -> bool:
    return abs(found - wanted) <= NEARLY * abs(wanted)


@given(st.lists(VALUES, min_size=1, max_size=30), st.floats(0, 1))
@settings(max_examples=100)
def test_a_percentile_is_within_one_percent_of_the_value_at_its_place(
    asking: psycopg.Connection[Any], values: list[float], q: float
) -> None:
    ((found,),) = asking.execute(
        "SELECT percentile(sketch_of(array_agg(sketch_key(v)), array_agg(1::bigint)), %s)"
        " FROM unnest(%s::float8[]) AS v",
        (q, values),
    ).fetchall()
    place = int(np.floor(q * (len(values) - 1)))
    assert near(found, sorted(values)[place])
    assert near(found, exact(values, q)) or not (q * (len(values) - 1)).is_integer()


@given(st.lists(st.lists(VALUES, max_size=8), min_size=1, max_size=5))
@settings(max_examples=40)
def test_merged_sketches_are_the_sketch_of_all(
    asking: psycopg.Connection[Any], parts: list[list[float]]
) -> None:
    one = "(SELECT sketch_of(array_agg(sketch_key(v)), array_agg(1::bigint)) FROM unnest({}::float8[]) AS v)"
    each = ", ".join(f"({one.format('%s')})" for _ in parts)
    whole = [value for part in parts for value in part]
    merged = f"(SELECT merge_sketches(s) FROM (VALUES {each}) AS v (s))"
    query = f"SELECT {merged} IS NOT DISTINCT FROM {one.format('%s')}"
    assert asking.execute(query.encode(), [*parts, whole]).fetchall() == [(True,)]


@pytest.mark.parametrize("q", ["-0.1", "1.1", "'NaN'", "NULL"])
def test_what_is_no_share_is_refused(q: str, asking: psycopg.Connection[Any]) -> None:
    with pytest.raises(errors.InvalidParameterValue, match="is no share of values"):
        asking.execute(f"SELECT percentile(ROW('{{1}}', '{{1}}')::sketch, {q})".encode())
    assert asking.execute("SELECT percentile(NULL::sketch, 0.5)").fetchall() == [(None,)]


def test_nothing_is_kept_where_no_metric_asks(writer: Connection, owner: psycopg.Connection[Any]) -> None:
    History(writer, 1).flush(reading(1, 5.0), START_US + 3 * MINUTE_US)
    assert refresh(writer) == []
    assert owner.execute("SELECT FROM sketch_marks").fetchall() == owner.execute(STORED).fetchall() == []


@pytest.mark.parametrize("seed", range(3))
def test_whatever_comes_late_sketches_are_those_of_all_readings(
    seed: int, writer: Connection, owner: psycopg.Connection[Any]
) -> None:
    ask(owner, "metric-1", "metric-3")
    history = History(writer, seed)
    to_us = START_US
    for step in range(6):
        points = history.points(60, to_us - 2 * HOUR_US, to_us + HOUR_US)
        to_us += int(history.random.integers(1, 90)) * MINUTE_US
        history.flush(points, to_us)
        if step % 2:
            refresh(writer)
    refresh(writer)
    stored = owner.execute(STORED).fetchall()
    assert stored == owner.execute(MADE).fetchall()
    assert {row[0] for row in stored} == {60, 900, 3600, 86400}
    assert {row[1] for row in stored} == {1, 3}
    assert_all_are_seen(owner)


def assert_all_are_seen(owner: psycopg.Connection[Any]) -> None:
    """Stored or not, what is seen is what all usable readings make."""
    different = owner.execute(
        """
        SELECT count(*) FILTER (WHERE seen.sketch IS DISTINCT FROM made.sketch), count(*) FROM (
            SELECT l.name AS level, series_id,
                   date_bin(make_interval(secs => l.width_s), ts, 'epoch') AS bucket,
                   sketch_of(array_agg(sketch_key(usable(value, quality))), array_agg(1::bigint)) AS sketch
            FROM rollup_levels AS l CROSS JOIN readings JOIN series USING (series_id)
            JOIN metrics USING (tenant, metric)
            WHERE quantiles AND usable(value, quality) IS NOT NULL GROUP BY 1, 2, 3
        ) AS made
        FULL JOIN (
            SELECT l.name AS level, s.series_id, q.*
            FROM rollup_levels AS l CROSS JOIN metrics AS m
            CROSS JOIN series_quantiles(l.name, m.metric, '-infinity', 'infinity') AS q
            JOIN series AS s ON s.source = q.source AND s.metric = m.metric
            WHERE m.quantiles
        ) AS seen USING (level, series_id, bucket)
        """
    ).fetchall()
    assert different[0][0] == 0
    assert different[0][1] > 0


def test_readings_are_seen_before_anything_is_stored_and_history_once_it_is_asked_for(
    writer: Connection, owner: psycopg.Connection[Any]
) -> None:
    history = History(writer, 7)
    history.flush(history.points(200, START_US - DAY_US, START_US), START_US + MINUTE_US)
    ask(owner, "metric-2")
    assert_all_are_seen(owner)
    refresh(writer)
    assert owner.execute(STORED).fetchall() == owner.execute(MADE).fetchall() != []
    assert_all_are_seen(owner)


def test_only_readings_of_the_times_that_are_asked_for_are_read(
    writer: Connection, owner: psycopg.Connection[Any]
) -> None:
    history = History(writer, 11)
    history.flush(history.points(300, START_US - 30 * DAY_US, START_US), START_US + MINUTE_US)
    ask(owner, "metric-2")
    asked = "SELECT * FROM series_quantiles('1h', 'metric-2', %s, %s)"
    since, until = (timestamp(START_US - days * DAY_US + 30 * MINUTE_US) for days in (15, 10))
    ((wanted,),) = owner.execute(
        "SELECT count(*) FROM readings"
        " WHERE series_id = 2 AND ts >= %s + INTERVAL '30 min' AND ts < %s + INTERVAL '30 min'",
        (since, until),
    ).fetchall()
    with owner.transaction():
        before = fetched(owner)
        some = owner.execute(asked, (since, until)).fetchall()
        between = fetched(owner)
        everything = owner.execute(asked, ("-infinity", "infinity")).fetchall()
        after = fetched(owner)
    assert 0 < between - before <= wanted < after - between
    assert sorted(map(str, some)) == sorted(str(row) for row in everything if since <= row[1] < until)


def fetched(session: psycopg.Connection[Any]) -> int:
    """Return how many rows of chunks were read."""
    ((rows,),) = session.execute(
        "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint FROM pg_stat_xact_user_tables"
        " WHERE relname ~ '^_hyper'"
    ).fetchall()
    return int(rows)


@pytest.mark.parametrize("value", ["'NaN'", "'Infinity'", "'-Infinity'", "1e141", "-1e200", "NULL"])
def test_what_says_nothing_has_no_key_and_counts_for_nothing(
    value: str, asking: psycopg.Connection[Any]
) -> None:
    assert asking.execute(
        f"SELECT sketch_key({value}),"
        f" sketch_of(ARRAY[sketch_key({value}), 1], '{{1, 1}}') = sketch_of('{{1}}', '{{1}}'),"
        f" sketch_of(ARRAY[sketch_key({value})], '{{1}}')".encode()
    ).fetchall() == [(None, True, None)]


@pytest.mark.parametrize("value", ["9e-141", "-9e-141", "1e-300", "-1e-300", "0", "-0.0"])
def test_what_is_hardly_more_than_zero_counts_as_zero(value: str, asking: psycopg.Connection[Any]) -> None:
    assert asking.execute(f"SELECT sketch_key({value})".encode()).fetchall() == [(0,)]


def test_what_nobody_asks_for_any_more_is_removed(writer: Connection, owner: psycopg.Connection[Any]) -> None:
    history = History(writer, 8)
    history.flush(history.points(50, START_US, START_US + HOUR_US), START_US + 2 * HOUR_US)
    ask(owner, "metric-1", "metric-2")
    refresh(writer)
    owner.execute("UPDATE metrics SET quantiles = false WHERE metric = 'metric-1'")
    refresh(writer)
    assert owner.execute("SELECT DISTINCT series_id FROM rollup_sketches").fetchall() == [(2,)]
    assert owner.execute("SELECT DISTINCT series_id FROM sketch_marks").fetchall() == [(2,)]


def test_a_new_level_is_filled_and_what_is_late_meanwhile_is_right(
    database: str, writer: Connection, owner: psycopg.Connection[Any]
) -> None:
    ask(owner, "metric-1", "metric-2", "metric-3")
    history = History(writer, 9)
    history.flush(history.points(100, START_US, START_US + HOUR_US), START_US + 2 * HOUR_US)
    refresh(writer)
    apply_levels(database, parse_levels("10s,1m,15m,1h,1d"))
    late = history.points(20, START_US, START_US + HOUR_US)
    history.rollups.__init__(parse_levels("10s,1m,15m,1h,1d"))  # type: ignore[misc]
    history.flush(late, history.released_us)
    assert refresh_some(writer)
    assert_all_are_seen(owner)
    refresh(writer)
    assert owner.execute(STORED).fetchall() == owner.execute(MADE).fetchall()
    assert_all_are_seen(owner)
    for name in ("10s",):
        owner.execute(f"TRUNCATE rollup_closed_{name}".encode())
    apply_levels(database, LEVELS_US)
    refresh(writer)
    assert owner.execute(STORED).fetchall() == owner.execute(MADE).fetchall()


def test_quantiles_of_a_group_are_those_of_all_its_readings(
    writer: Connection, owner: psycopg.Connection[Any]
) -> None:
    ask(owner, "metric-1")
    owner.execute(
        "INSERT INTO series (tenant, source, metric, home_topic, home_partition)"
        " SELECT 'default', 'pump-' || n, 'metric-1', 'readings', 0 FROM generate_series(2, 6) AS n"
    )
    owner.execute(
        "INSERT INTO readings (ts, value, series_id, quality)"
        " SELECT timestamptz '2026-01-01Z' + n * INTERVAL '1 min', 10 + series_id * n, series_id, 0"
        " FROM series, generate_series(0, 299) AS n WHERE metric = 'metric-1'"
    )
    owner.execute("UPDATE progress SET released_to = '2026-01-01 04:00Z'")
    refresh(writer)
    groups = owner.execute(
        "SELECT bucket, series, percentile(sketch, 0.9), complete AND members = 6"
        " FROM group_quantiles('1h', 'metric-1', '2026-01-01', '2026-01-02') ORDER BY bucket"
    ).fetchall()
    wanted = owner.execute(
        "SELECT time_bucket('1 hour', ts), count(DISTINCT series_id),"
        " percentile_disc(0.9) WITHIN GROUP (ORDER BY value), time_bucket('1 hour', ts) < '2026-01-01 04:00Z'"
        " FROM readings GROUP BY 1 ORDER BY 1"
    ).fetchall()
    assert [(at, count, closed) for at, count, _, closed in groups] == [(at, n, c) for at, n, _, c in wanted]
    assert all(near(mine[2], their[2]) for mine, their in zip(groups, wanted, strict=True))
    with pytest.raises(errors.InvalidParameterValue, match="keeps no quantiles"):
        owner.execute("SELECT * FROM group_quantiles('1h', 'metric-2', '2026-01-01', '2026-01-02')")


def test_verification_finds_sketches_that_are_wrong_and_excuses_those_that_are_marked(
    database: str, writer: Connection, owner: psycopg.Connection[Any]
) -> None:
    ask(owner, "metric-1", "metric-2", "metric-3")
    history = History(writer, 3)
    history.flush(history.points(200, START_US, START_US + 5 * HOUR_US), START_US + 3 * DAY_US)
    refresh(writer)
    assert misrolled(database) == {}

    at = timestamp(START_US)
    owner.execute("INSERT INTO readings (series_id, ts, value, quality) VALUES (1, %s, 5, 0)", (at,))
    every_level = {"1m": 1, "15m": 1, "1h": 1, "1d": 1}
    wrong = misrolled(database)
    assert wrong == {level: 2 * found for level, found in every_level.items()}, "rollups and sketches"
    owner.execute("INSERT INTO dirty_buckets (series_id, bucket) VALUES (1, %s)", (at,))
    assert misrolled(database) == {}
    refresh(writer)
    assert misrolled(database) == {}

    one = "series_id = 2 AND width_s = 3600 AND bucket = (SELECT min(bucket) FROM rollup_sketches WHERE {})"
    one = one.format("series_id = 2 AND width_s = 3600")
    for mutant in (
        f"UPDATE rollup_sketches SET counts[1] = counts[1] + 1 WHERE {one}",
        f"UPDATE rollup_sketches SET keys[1] = keys[1] - 1 WHERE {one}",
        f"UPDATE rollup_sketches SET bucket = bucket - INTERVAL '5 hours' WHERE {one}",
        f"DELETE FROM rollup_sketches WHERE {one}",
        "UPDATE sketch_marks SET sketched_to = %s WHERE series_id = 2 AND width_s = 3600",
    ):
        before = owner.execute(STORED).fetchall()
        owner.execute(mutant.encode(), (timestamp(START_US + HOUR_US),) if "%s" in mutant else None)
        assert misrolled(database).keys() == {"1h"}, mutant
        owner.execute("TRUNCATE rollup_sketches, sketch_marks")
        refresh(writer)
        assert owner.execute(STORED).fetchall() == before


def test_sketches_go_with_their_rollups_and_readings_wait_for_those_to_be_made(
    database: str, writer: Connection, owner: psycopg.Connection[Any], tmp_path: Path
) -> None:
    ask(owner, "metric-1", "metric-3")
    begin = begin_us(START_US, DAY_US)
    days = [begin + day * DAY_US for day in (0, 15, 16)]
    history = History(writer, 5)
    for day_us in days:
        history.flush(history.points(100, day_us, day_us + DAY_US), day_us + DAY_US)
    now = timestamp(days[-1] + DAY_US) + timedelta(hours=1)
    kept = {1: timestamp(days[1]), 3: timestamp(days[2])}
    with open_session(database) as session:
        session.execute("TRUNCATE retention_policies")
        set_policy(session, Policy("*", "*", 2, 3))
        set_policy(session, Policy("*", "metric-3", 1, 1))
        report = run(session, Target(str(tmp_path)), now)
        assert report.holds[0].reason == "quantiles are made of readings up to -infinity yet"
        assert report.chunks == []
        refresh(writer)
        stored = owner.execute(STORED).fetchall()
        assert misrolled(database) == {}
        report = run(session, Target(str(tmp_path)), now)
    assert {hold.kept_from for hold in report.holds} == {timestamp(days[-1] + DAY_US)}
    assert owner.execute(STORED).fetchall() == [row for row in stored if row[2] >= kept[row[1]]] != stored
    assert misrolled(database) == {}
    refresh(writer)
    assert owner.execute(STORED).fetchall() == [row for row in stored if row[2] >= kept[row[1]]]
