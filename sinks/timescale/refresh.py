"""Computes dirty buckets again, from readings or from the level below, and marks what they are a part of.

It never waits for a flush, nor a flush for it: it takes only buckets that are closed, which no flush
writes any more; marks are appended by flushes and removed here; and one session at a time does it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import LiteralString

from sinks.timescale.copy import copy_rows, read_rows
from sinks.timescale.rollup_messages import NOTHING_TOLD, Told, tell
from sinks.timescale.rollups import (
    COLUMNS,
    LEVELS,
    POINT_TYPES,
    TYPES,
    decode_points,
    decode_rollups,
    encode_rollups,
    of_table,
)
from sinks.timescale.session import Connection
from streams.core.aggregate import Aggregates, aggregate, coarsen
from streams.core.deduplicate import series_time_order

BATCH = 20_000
"""Marks taken in one transaction: it has to end long before a claim takes it for abandoned."""

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('streamgauge rollups'))"
_PREPARE = """
    SET jit TO off;
    CREATE TEMP TABLE IF NOT EXISTS dirty_now (series_id integer, begins timestamptz, ends timestamptz)
        ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS computed_now (LIKE rollup_closed_1m INCLUDING DEFAULTS)
        ON COMMIT DELETE ROWS
"""
# Rows are found by where they are: nobody moves them, and a join would read all marks for each batch.
_TAKE = """
    WITH taken AS (
        DELETE FROM dirty_buckets
        WHERE ctid = ANY (ARRAY(
            SELECT d.ctid
            FROM dirty_buckets AS d
            JOIN rollup_marks AS m USING (series_id)
            WHERE d.width = %(width)s AND d.bucket + d.width <= m.released_to
            ORDER BY d.bucket LIMIT %(most)s
        ))
        RETURNING series_id, bucket
    ), adjacent AS (
        SELECT series_id, bucket,
               bucket - %(width)s * dense_rank() OVER (PARTITION BY series_id ORDER BY bucket) AS together
        FROM taken
    ), spans AS (
        INSERT INTO dirty_now
        SELECT series_id, min(bucket), max(bucket) + %(width)s FROM adjacent GROUP BY series_id, together
        RETURNING begins, ends
    )
    SELECT (SELECT count(*) FROM taken), min(begins), max(ends) FROM spans
"""
# OFFSET 0 keeps the planner from reading all that a series has between the first span and the last.
_WITHIN: LiteralString = """
    SELECT found.* FROM dirty_now AS dirty
    CROSS JOIN LATERAL (
        SELECT {columns} FROM {table} AS r
        WHERE r.series_id = dirty.series_id AND {time} >= dirty.begins AND {time} < dirty.ends
          AND {time} >= %s AND {time} < %s
        OFFSET 0
    ) AS found
"""
_STORE: LiteralString = """
    INSERT INTO {table} AS r ({columns}) SELECT {columns} FROM computed_now
    ON CONFLICT (series_id, bucket) DO UPDATE
    SET ({columns}) = ({excluded}), revision = r.revision + 1, refreshed_at = now()
    WHERE ({stored}) IS DISTINCT FROM ({excluded})
    RETURNING r.series_id, r.bucket, r.revision
"""
_MARK_ABOVE: LiteralString = """, marked AS (
        INSERT INTO dirty_buckets (series_id, bucket, width)
        SELECT DISTINCT series_id, date_bin(%(above)s, bucket, 'epoch'), %(above)s FROM changed
    )
"""
_TO_TELL: LiteralString = """
    SELECT {columns}, changed.revision FROM changed JOIN computed_now AS r USING (series_id, bucket)
    WHERE %(is_told)s
"""


def refresh_some(session: Connection, most: int = BATCH, told: Told = NOTHING_TOLD) -> int:
    """Compute the oldest dirty buckets of each level again; return how many marks are gone.

    One transaction a level. Returns 0 where none is left that is closed, or another session is at it.
    """
    session.execute(_PREPARE)
    return sum(_refresh_level(session, number, most, told) for number in range(len(LEVELS)))


def _refresh_level(session: Connection, number: int, most: int, told: Told) -> int:
    width = timedelta(microseconds=LEVELS[number].width_us)
    with session.transaction():
        if not session.execute(_LOCK).fetchall()[0][0]:
            return 0
        ((taken, *between),) = session.execute(_TAKE, {"width": width, "most": most}).fetchall()
        if taken:
            computed = _computed(session, number, between)
            copy_rows(session, f"computed_now ({COLUMNS})", encode_rollups(computed))
            _store(session, number, told)
    return int(taken)


def _computed(session: Connection, number: int, between: Sequence[datetime]) -> Aggregates:
    """Return the rows of the buckets that were taken, as far as there is something to make them from."""
    if number == 0:
        query = _WITHIN.format(columns="r.series_id, ts, value, quality", table="readings", time="r.ts")
        return aggregate(decode_points(read_rows(session, query, between, **POINT_TYPES)), LEVELS[0].width_us)
    query = _WITHIN.format(columns=of_table("r"), table=LEVELS[number - 1].table, time="r.bucket")
    return coarsen(decode_rollups(read_rows(session, query, between, **TYPES)), LEVELS[number].width_us)


def _store(session: Connection, number: int, told: Told) -> None:
    """Store what was computed, mark the buckets that it is a part of, and tell of what changed."""
    level = LEVELS[number]
    store = _STORE.format(
        table=level.table, columns=COLUMNS, excluded=of_table("excluded"), stored=of_table("r")
    )
    with_clauses: LiteralString = "WITH changed AS (" + store + ")"
    arguments: dict[str, object] = {"is_told": level.name in told.levels}
    if number + 1 < len(LEVELS):
        with_clauses += _MARK_ABOVE
        arguments["above"] = timedelta(microseconds=LEVELS[number + 1].width_us)
    query = _TO_TELL.format(columns=of_table("r"))
    changed = read_rows(session, query, arguments, with_clauses, **TYPES, revision=">i4")
    changed = changed[series_time_order(changed["series_id"], changed["bucket"])]
    tell(session, level, decode_rollups(changed), changed["revision"], told.topic)
