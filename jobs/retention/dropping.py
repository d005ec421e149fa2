"""Drops what is given up: chunks as a whole, or rows of some series where others of the chunk are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

from psycopg import errors

from jobs.archive.chunks import Chunk, Connection, slices
from sinks.timescale.times import timestamp

LOCK_WAIT = "10s"
ROWS_AT_ONCE = 50_000
DELIVERY_S = 10.0
LOOK_EVERY_S = 0.2

_LAST_MESSAGE = "SELECT coalesce(max(id), 0) FROM outbox"
_UNDELIVERED = "SELECT count(*), min(created_at) FROM outbox WHERE id <= %s"
_DROP = "SELECT drop_chunks('readings', newer_than => %s::timestamptz, older_than => %s::timestamptz)"
_DELETE = "DELETE FROM readings WHERE series_id = ANY (%s) AND ts >= %s AND ts < %s"


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


def drop_chunk(session: Connection, chunk: Chunk) -> None:
    """Drop a chunk of which all is given up. Raises Held where others use the table for too long."""
    try:
        with session.transaction():
            session.execute(f"SET LOCAL lock_timeout TO '{LOCK_WAIT}'")
            # Flushes and queries that are under way end first; with the chunk's locks alone both might wait.
            session.execute("LOCK TABLE ONLY readings IN ACCESS EXCLUSIVE MODE")
            session.execute(_DROP, (timestamp(chunk.begins_us), timestamp(chunk.ends_us)))
    except errors.LockNotAvailable as error:
        raise Held("a query or a flush has used table readings for ten seconds") from error


def delete_readings(session: Connection, chunk: Chunk, counts: Mapping[int, int]) -> Iterator[int]:
    """Delete the readings that some series have in a chunk, bit by bit; yield how many are gone each time.

    Each bit is a transaction of its own. ``counts`` are how many there are.
    """
    for series, times in slices(chunk, counts, ROWS_AT_ONCE):
        between = timestamp(times.begins_us), timestamp(times.ends_us)
        yield session.execute(_DELETE, (series, *between)).rowcount
