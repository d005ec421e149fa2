"""What the pages show of SQL reads the index of its series, in the chunks of its time alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors

from streams.settings import PROJECT_ROOT
from tests.databases import as_reader, tenant_reader
from tests.documents import blocks
from tests.integration.plans import scans_by_index, touched

pytestmark = pytest.mark.stack

PAGES = [PROJECT_ROOT / "README.md", PROJECT_ROOT / "docs" / "sql.md"]
SHOWN = [
    query.strip()
    for page in PAGES
    for block in blocks(page, "sql")
    for query in block.text.split(";")
    if query.strip()
]
ALL_DAYS = {28, 29, 30, 31, 1, 2}

# What each query shows, in the order of the pages, and of which days from 28 January to 2 February it reads.
# Behind a tenant's barrier the last value before is looked for in all of its reach.
PINNED: list[tuple[str, set[int], set[int]]] = [
    ("FROM latest", {2}, {2}),
    ("FROM readings_named", {31}, {31}),
    ("FROM pipeline_progress", set(), set()),
    ("FROM series_catalogue", {28, 2}, {28, 2}),
    ("FROM latest", {2}, {2}),
    ("FROM rollup_1d", set(), set()),
    ("FROM anomalies_named", set(), set()),
    ("FROM readings_named", {31}, {31}),
    ("FROM anomalies_named", set(), set()),
    ("FROM series_places", set(), set()),
    ("FROM group_rollup", set(), set()),
    ("percentile(sketch, 0.9)", {31}, {31}),
    ("delta(s.series_id", {30, 31}, {30, 31}),
    ("FROM gapfill", {31}, {31}),
    ("FROM locf", {31}, {31}),
    ("FROM interpolate", {31}, {30, 31, 1}),
    ("FROM delta", {30, 31}, {30, 31}),
    ("FROM rate", {30, 31}, {30, 31}),
    ("changes(s.series_id", {30, 31}, {30, 31}),
    ("FROM time_weighted_avg", {31}, {30, 31}),
    ("FROM lttb", {31}, {31}),
    ("FROM asof_join", {31}, {30, 31}),
    ("FROM history", {31}, {30, 31}),
    ("unnest(buckets", set(), set()),
]
PROGRAMS = ("FROM lttb", "FROM group_rollup")
"""Functions that are not inlined: their plans are their own."""
READS = [
    query for query, (part, days, _) in zip(SHOWN, PINNED, strict=False) if days and part not in PROGRAMS
]


@pytest.fixture(scope="module")
def filled(database: str) -> str:
    """Return a database with six days of fifty series, the last of which is open."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            """
            INSERT INTO progress (topic, partition, epoch, next_offset, owner, session, released_to)
            VALUES ('readings', 0, 1, 0, 'me', 'me', '2026-02-02 00:00Z');
            INSERT INTO series (tenant, source, metric, home_topic, home_partition)
            SELECT 'default', 'boiler-' || n, metric, 'readings', 0
            FROM generate_series(1, 25) AS n, unnest('{starts, temperature}'::text[]) AS metric;
            INSERT INTO readings (ts, value, series_id, quality)
            SELECT timestamptz '2026-01-28 00:00Z' + n * INTERVAL '5 min', n, series_id, 0
            FROM series, generate_series(0, 6 * 288 - 1) AS n ORDER BY series_id, n;
            """
        )
        owner.execute("VACUUM ANALYZE readings, series")
    return database


@pytest.fixture(scope="module")
def of_tenant(filled: str) -> Iterator[str]:
    with tenant_reader(filled, "default") as dsn:
        yield dsn


@pytest.fixture(scope="module")
def of_analyst(filled: str) -> str:
    return as_reader(filled)


@pytest.fixture(params=["of_analyst", "of_tenant"])
def who(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def session(who: str, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(request.getfixturevalue(who)) as session:
        session.execute("SET timezone TO 'UTC'")
        session.execute("SET stats_fetch_consistency TO 'none'")
        yield session


def test_every_query_of_the_pages_is_pinned() -> None:
    assert len(SHOWN) == len(PINNED)
    assert [part for query, (part, *_) in zip(SHOWN, PINNED, strict=True) if part not in query] == []


@pytest.mark.parametrize("nth", range(len(PINNED)))
def test_only_the_chunks_of_its_time_are_read(nth: int, who: str, session: psycopg.Connection[Any]) -> None:
    query, (part, of_analyst, of_tenant) = SHOWN[nth], PINNED[nth]
    if part == "FROM pipeline_progress" and who == "of_tenant":
        with pytest.raises(errors.InsufficientPrivilege):
            session.execute(query.encode())
    else:
        session.execute(query.encode()).fetchall()
        assert touched(session) == (set(), of_analyst if who == "of_analyst" else of_tenant)


@pytest.mark.parametrize("query", READS)
def test_plans_read_the_index_of_series_and_time(query: str, session: psycopg.Connection[Any]) -> None:
    assert scans_by_index(session, query)


def test_a_condition_that_hides_the_time_reads_all_days(session: psycopg.Connection[Any]) -> None:
    """What the pages tell to bind: else each chunk is asked."""
    session.execute(
        "SELECT count(*) FROM readings_named"
        " WHERE source = 'boiler-1' AND date_trunc('day', ts) = '2026-01-31'"
    )
    assert touched(session) == (set(), ALL_DAYS)
