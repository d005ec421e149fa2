"""What analysts ask reads the index of its series in the chunks of its time, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pytest

from tests.databases import as_reader, tenant_reader
from tests.integration.plans import STARTS, scans_by_index, touched

pytestmark = pytest.mark.stack

DAYS = range(1, 11)
ASKED = "'2026-01-05', '2026-01-06'"
PUMP = "series('pump-7', 'rpm')"

# What is asked, and which days of January are read for it: one more where what was before counts.
QUERIES = [
    (f"history({PUMP}, {ASKED})", {4, 5}),
    (f"(SELECT count(*) FROM history(series('silent', 'rpm'), {ASKED})) AS counted", {4, 5}),
    (f"gapfill({PUMP}, {ASKED}, '1 hour')", {5}),
    (f"locf({PUMP}, {ASKED}, '1 hour')", {4, 5}),
    (f"interpolate({PUMP}, {ASKED}, '1 hour')", {4, 5, 6}),
    (f"delta({PUMP}, {ASKED}, '1 hour')", {4, 5}),
    (f"rate({PUMP}, {ASKED}, '1 hour')", {4, 5}),
    (f"time_weighted_avg({PUMP}, {ASKED}, '1 hour')", {4, 5}),
    (f"lttb({PUMP}, {ASKED}, 100)", {5}),
    (f"asof_join({PUMP}, series('pump-8', 'rpm'), {ASKED})", {4, 5}),
    (
        f"series_catalogue AS s, rate(s.series_id, {ASKED}) WHERE source BETWEEN 'pump-1' AND 'pump-2'",
        {1, 4, 5, 10},
    ),
    ("latest WHERE source = 'pump-7'", {10}),
    ("latest WHERE source BETWEEN 'pump-' AND 'pump-z'", {10}),
    ("series_catalogue WHERE source = 'pump-7'", {1, 10}),
    (f"gaps({ASKED}, 0.5) WHERE source = 'pump-7'", {4, 5, 10}),
    (f"(SELECT count(*) FROM gaps({ASKED}) WHERE source = 'silent') AS counted", set(DAYS)),
    ("coverage(date '2026-01-05', date '2026-01-06') WHERE source = 'pump-7'", set()),
    ("readings_named WHERE source = 'pump-7' AND ts >= '2026-01-05' AND ts < '2026-01-06'", {5}),
    ("rollup_1h WHERE source = 'pump-7' AND bucket >= '2026-01-10' AND bucket < '2026-01-11'", {10}),
    ("rollup_1d WHERE source = 'pump-7' AND bucket >= '2026-01-09'", {10}),
]
# The same with times that are known only when it runs.
THIS_FAR = "now() - (now() - '2026-01-05'), now() - (now() - '2026-01-06')"
LATER = [(query.replace(ASKED, THIS_FAR), days) for query, days in QUERIES if ASKED in query]


@pytest.fixture(scope="module")
def filled(database: str) -> str:
    """Return a database with ten days of fifty series, a reading every five minutes."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO series (tenant, source, metric)"
            " SELECT 'default', 'pump-' || n, 'rpm' FROM generate_series(1, 50) AS n"
        )
        owner.execute(
            """
            INSERT INTO readings (ts, value, series_id, quality)
            SELECT timestamptz '2026-01-01 00:00Z' + n * INTERVAL '5 min', n, series_id, 0
            FROM series, generate_series(0, %s) AS n ORDER BY series_id, n
            """,
            (len(DAYS) * 288 - 1,),
        )
        owner.execute("INSERT INTO series (tenant, source, metric) VALUES ('default', 'silent', 'rpm')")
        owner.execute("INSERT INTO metrics (metric, expected_every) VALUES ('rpm', '5 min')")
        owner.execute(
            """
            INSERT INTO progress (topic, partition, epoch, next_offset, owner, session, released_to)
            VALUES ('readings', 0, 1, 0, 'me', 'me', '2026-01-10 00:00Z');
            UPDATE series SET home_topic = 'readings', home_partition = 0;
            """
        )
        owner.execute("VACUUM ANALYZE readings, series")
    return as_reader(database)


@pytest.fixture(scope="module")
def of_tenant(filled: str, database: str) -> Iterator[str]:
    with tenant_reader(database, "default") as dsn:
        yield dsn


@pytest.fixture(params=["filled", "of_tenant"], ids=["analyst", "reader of a tenant"])
def analyst(request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
    """Whoever asks: the plans are the same behind a tenant's barrier."""
    with psycopg.connect(request.getfixturevalue(request.param)) as session:
        session.execute("SET timezone TO 'UTC'")
        session.execute("SET stats_fetch_consistency TO 'none'")
        yield session


@pytest.mark.parametrize(("query", "days"), QUERIES + LATER)
def test_only_the_chunks_asked_for_are_read_and_by_their_index(
    query: str, days: set[int], analyst: psycopg.Connection[Any]
) -> None:
    assert analyst.execute(f"SELECT * FROM {query}".encode()).fetchone() is not None
    assert touched(analyst) == (set(), days)


@pytest.mark.parametrize(("who", "days"), [("filled", {10}), ("of_tenant", set(DAYS))])
def test_a_pattern_is_asked_after_the_tenants_rows_are_found(
    who: str, days: set[int], request: pytest.FixtureRequest
) -> None:
    """The silent series is looked for in all days, though the pattern would rule it out."""
    with psycopg.connect(request.getfixturevalue(who)) as session:
        session.execute("SET stats_fetch_consistency TO 'none'")
        found = session.execute("SELECT * FROM latest WHERE source LIKE 'pump-%'").fetchall()
        assert (len(found), *touched(session)) == (50, set(), days)


PROGRAMS = ("lttb", "coverage")
INLINED = [query for query, _ in QUERIES + LATER if not query.startswith(PROGRAMS)]


@pytest.mark.parametrize("query", INLINED)
def test_plans_are_those_of_the_tables(query: str, analyst: psycopg.Connection[Any]) -> None:
    assert scans_by_index(analyst, f"SELECT * FROM {query}"), query


@pytest.mark.parametrize("level", ["1m", "15m", "1h", "1d"])
def test_what_is_closed_is_read_without_a_look_at_what_is_open(
    level: str, analyst: psycopg.Connection[Any]
) -> None:
    asked = f"SELECT * FROM rollup_{level} WHERE bucket >= '2026-01-04' AND bucket < '2026-01-09'"
    analyst.execute(asked.encode()).fetchall()
    plan = "\n".join(line for (line,) in analyst.execute(f"EXPLAIN {asked}".encode()))
    assert touched(analyst) == (set(), set())
    assert "readings" not in plan
    assert "progress" not in plan


def test_a_statement_that_was_prepared_before_a_mark_moved_back_is_refused(
    database: str, analyst: psycopg.Connection[Any]
) -> None:
    analyst.execute("PREPARE asked AS SELECT count(*) FROM rollup_1h WHERE source = 'pump-7'")
    analyst.execute("SET plan_cache_mode TO force_generic_plan")
    assert analyst.execute("EXECUTE asked").fetchone() == (24,)
    analyst.commit()
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("UPDATE progress SET released_to = '2026-01-09 00:00Z'")
    try:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="are open since 2026-01-09"):
            analyst.execute("EXECUTE asked")
        analyst.rollback()
        analyst.execute("DISCARD PLANS")
        assert analyst.execute("EXECUTE asked").fetchone() == (48,)
    finally:
        with psycopg.connect(database, autocommit=True) as owner:
            owner.execute("UPDATE progress SET released_to = '2026-01-10 00:00Z'")


def test_names_and_numbers_cost_no_look_up_of_times(analyst: psycopg.Connection[Any]) -> None:
    analyst.execute("SELECT series_id, source FROM series_catalogue").fetchall()
    assert touched(analyst) == (set(), set())


def test_a_search_path_of_the_caller_changes_nothing(filled: str) -> None:
    """A table or function of the same name that comes first is not what is asked."""
    queries = [query for query, _ in QUERIES if query.startswith(("gapfill", "rate", "lttb", "locf"))]
    with psycopg.connect(filled) as session:
        session.execute("SET TRANSACTION READ WRITE")
        session.execute(
            "CREATE TEMPORARY TABLE readings (series_id int, ts timestamptz, value float8, quality smallint)"
        )
        session.execute(
            "CREATE TEMPORARY TABLE series (series_id int, source text, metric text, tenant text)"
        )
        session.execute("CREATE FUNCTION pg_temp.usable(float8, smallint) RETURNS float8 RETURN 1 / 0")
        session.execute("SET LOCAL search_path TO pg_temp, public")
        for query in queries:
            rows = session.execute(f"SELECT bool_or(value IS NOT NULL) FROM {query}".encode()).fetchall()
            assert rows == [(True,)], query


def test_chunks_of_the_test_are_days(analyst: psycopg.Connection[Any]) -> None:
    starts = {start for start, _, _ in analyst.execute(STARTS)}
    assert starts == {datetime.combine(date(2026, 1, day), datetime.min.time(), UTC) for day in DAYS}
