"""What a query has read of the readings, and how its plan says that it will."""

from __future__ import annotations

import re
from typing import Any

import psycopg

STARTS = """
    SELECT c.range_start, coalesce(s.seq_scan, 0), coalesce(s.idx_scan, 0)
    FROM timescaledb_information.chunks AS c
    JOIN pg_stat_xact_all_tables AS s ON s.schemaname = c.chunk_schema AND s.relname = c.chunk_name
    WHERE c.hypertable_name = 'readings'
"""


def touched(session: psycopg.Connection[Any]) -> tuple[set[int], set[int]]:
    """Return of which days this transaction has read whole chunks, and of which it asked the index."""
    rows = session.execute(STARTS).fetchall()
    return {at.day for at, whole, _ in rows if whole}, {at.day for at, _, index in rows if index}


def scans_by_index(session: psycopg.Connection[Any], query: str) -> bool:
    """Tell whether a query reads chunks, all by the index of series and time, with functions inlined."""
    plan = "\n".join(line for (line,) in session.execute(f"EXPLAIN {query}".encode()))
    called = set(re.findall(r"Function Scan on (\w+)", plan))
    scans = [line for line in plan.splitlines() if "_chunk" in line and "Scan" in line]
    return (
        called <= {"unnest", "generate_series"}
        and bool(scans)
        and all("readings_series_id_ts" in s for s in scans)
    )
