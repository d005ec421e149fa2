"""Drops what is given up: chunks as a whole, or rows of some series where others of the chunk are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from psycopg import errors
from psycopg.sql import SQL, Identifier

from jobs.archive.chunks import Chunk, Connection, slices
from sinks.timescale.times import timestamp

LOCK_WAIT = "1s"
"""Flushes wait for as long, where a query uses the table."""
ROWS_AT_ONCE = 50_000
DELIVERY_S = 10.0
LOOK_EVERY_S = 0.2

_LAST_MESSAGE = "SELECT coalesce(max(id), 0) FROM outbox"
_UNDELIVERED = "SELECT count(*), min(created_at) FROM outbox WHERE id <= %s"
_DROP = "SELECT drop_chunks('readings', newer_than => %s::timestamptz, older_than => %s::timestamptz)"
_DELETE = "DELETE FROM readings WHERE series_id = ANY (%s) AND ts >= %s AND ts < %s"
_TABLES = """
    SELECT chunk_schema, chunk_name FROM timescaledb_information.chunks
    WHERE hypertable_schema = 'public' AND hypertable_name = 'readings'
      AND range_start >= %s AND range_end <= %s
"""
_MORE = """
    SELECT r.series_id, r.stored, coalesce(noted.readings, 0)
    FROM (
        SELECT series_id, count(*) AS stored FROM readings
        WHERE ts >= %(begins)s AND ts < %(ends)s
          AND (%(series)s::int[] IS NULL OR series_id = ANY (%(series)s))
        GROUP BY series_id
    ) AS r
    LEFT JOIN series_policies AS p USING (series_id)
    LEFT JOIN (
        SELECT each.series_id, max(each.readings) AS readings
        FROM archive_files AS f
        CROSS JOIN LATERAL unnest(f.series_ids, f.counts) AS each (series_id, readings)
        WHERE f.begins <= %(begins)s AND f.ends >= %(ends)s
        GROUP BY 1
    ) AS noted USING (series_id)
    WHERE p.archived IS DISTINCT FROM false AND r.stored > coalesce(noted.readings, 0)
    ORDER BY r.series_id LIMIT 1
"""


class Held(Exception):  # noqa: N818 - reads as what happened
    """Something is not dropped yet; says why."""


class Outbox:
    """What waited to be sent when readings were given up: later messages are not of what is dropped."""

    def __init__(self, session: Connection) -> None:
        self._session = session
        ((self._last,),) = session.execute(_LAST_MESSAGE).fetchall()
        self._waited = False

    def require_delivered(self) -> None:
        """Wait, once and for a moment, until all of it is sent. Raises Held."""
        until = time.monotonic() + (0 if self._waited else DELIVERY_S)
        self._waited = True
        while True:
            ((waiting, since),) = self._session.execute(_UNDELIVERED, (self._last,)).fetchall()
            if not waiting:
                return
            if time.monotonic() >= until:
                raise Held(f"{waiting:,} messages wait in the outbox since {since:%F %T}")
            time.sleep(LOOK_EVERY_S)


def require_archived(session: Connection, chunk: Chunk, series: list[int] | None = None) -> None:
    """Count what is to be dropped of a chunk again; None stands for all series.

    Raises Held where more is stored than its files note. Less is what a run left that was ended.
    """
    asked = {"begins": timestamp(chunk.begins_us), "ends": timestamp(chunk.ends_us), "series": series}
    for series_id, stored, noted in session.execute(_MORE, asked):
        raise Held(
            f"{stored:,} readings of series {series_id} are stored, and its archive has {noted:,}: "
            "something else than a worker stored them after the day was given up"
        )


def _lock_rows(session: Connection, chunk: Chunk) -> None:
    """Let nobody store readings in a chunk until the transaction ends; all may read it."""
    for name in session.execute(_TABLES, (timestamp(chunk.begins_us), timestamp(chunk.ends_us))).fetchall():
        session.execute(SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(Identifier(*name)))


class Turn:
    """Takes tables as a whole: briefly, as all others wait meanwhile, and never again once it was refused."""

    def __init__(self, session: Connection) -> None:
        self._session = session
        self._refused = ""

    def require(self) -> None:
        """Raise Held where a table was refused before."""
        if self._refused:
            raise Held(self._refused)

    def take(self, table: str) -> None:
        """Lock a table for the transaction that is open. Raises Held where others use it for too long."""
        self.require()
        try:
            self._session.execute(f"SET LOCAL lock_timeout TO '{LOCK_WAIT}'")
            self._session.execute(
                SQL("LOCK TABLE ONLY {} IN ACCESS EXCLUSIVE MODE").format(Identifier(table))
            )
        except errors.LockNotAvailable as error:
            self._refused = f"a query or a flush has used table {table} for a second"
            raise Held(self._refused) from error


def drop_chunk(session: Connection, chunk: Chunk, turn: Turn) -> None:
    """Drop a chunk of which all is given up. Raises Held.

    It is held where more is stored than was archived, and where others use the table for too long.
    """
    turn.require()
    try:
        with session.transaction():
            session.execute(f"SET LOCAL lock_timeout TO '{LOCK_WAIT}'")
            # Counted before the table is locked as a whole: flushes go on meanwhile.
            _lock_rows(session, chunk)
            require_archived(session, chunk)
            # Flushes and queries that are under way end first; with the chunk's locks alone both might wait.
            turn.take("readings")
            session.execute(_DROP, (timestamp(chunk.begins_us), timestamp(chunk.ends_us)))
    except errors.LockNotAvailable as error:
        raise Held("somebody has used it for a second") from error


def delete_readings(session: Connection, chunk: Chunk, counts: Mapping[int, int]) -> Iterator[int]:
    """Delete the readings that some series have in a chunk, bit by bit; yield how many are gone each time.

    Each bit is a transaction of its own. ``counts`` are how many there are. Raises Held where more of
    these series is stored than was archived, or is deleted than was counted.
    """
    require_archived(session, chunk, list(counts))
    gone = 0
    for series, times in slices(chunk, counts, ROWS_AT_ONCE):
        between = timestamp(times.begins_us), timestamp(times.ends_us)
        with session.transaction():
            deleted = session.execute(_DELETE, (series, *between)).rowcount
            gone += deleted
            if gone > sum(counts.values()):
                raise Held("readings are stored while they are deleted, by something else than a worker")
        yield deleted
