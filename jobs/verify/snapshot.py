"""What the database says at one moment: progress, series and dead letters, beside its readings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

from jobs.verify.oracle import Fate
from streams.errors import UserError

Connection = psycopg.Connection[tuple[Any, ...]]
Name = tuple[str, str, str]
"""Tenant, source and metric of a series."""

# Made before the snapshot is taken. Its own name: workers end old sessions that are called as theirs.
_TABLES = """
    SET search_path TO public, pg_temp;
    SET timezone TO 'UTC';
    SET statement_timeout TO 0;
    SET idle_in_transaction_session_timeout TO 0;
    SET work_mem TO '128MB';
    CREATE TEMP TABLE expected (
        ts timestamptz, value double precision, series_id integer, quality smallint, late boolean
    );
    CREATE TEMP TABLE expected_dirty (bucket timestamptz, series_id integer);
    CREATE TEMP TABLE handed_over (LIKE expected);
    CREATE TEMP TABLE faults (kind text, series_id integer, ts timestamptz, detail text);
"""
_PROGRESS = """
    SELECT partition, next_offset, (extract(epoch FROM watermark) * 1000000)::bigint,
           (extract(epoch FROM released_to) * 1000000)::bigint, in_order, late,
           written, duplicates, corrections, dead_letters, forwarded
    FROM progress WHERE topic = %s ORDER BY partition
"""
_RESUMPTIONS = """
    SELECT partition, from_offset, to_offset, from_topic_id IS DISTINCT FROM to_topic_id
    FROM resumptions WHERE topic = %s ORDER BY id
"""
_LATE = "SELECT partition, up_to_s, readings FROM late_readings WHERE topic = %s"
_SERIES = "SELECT tenant, source, metric, series_id, home_topic, home_partition FROM series"
_SAID = """
    SELECT "offset", index FROM dead_letters
    WHERE topic = %s AND partition = %s AND reason = ANY(%s)
"""
_WAITING = """
    SELECT count(*), count(*) FILTER (WHERE created_at < clock_timestamp() - INTERVAL '1 minute')
    FROM outbox WHERE topic = %s
"""


class Order(NamedTuple):
    """How far event time has come in a partition, how much was released up to then, and what was late."""

    watermark_us: int | None
    released: int
    late: int
    late_by: dict[float, int]


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database says of one partition. ``released_to_us``: all before it was released.

    ``left_out`` are the offsets ``[start, end)`` that somebody decided to leave out; None where nobody
    ever decided where the partition goes on.
    """

    partition: int
    next_offset: int
    counts: dict[Fate, int]
    order: Order
    released_to_us: int | None
    left_out: list[tuple[int, int]] | None = None


class Home(NamedTuple):
    """The number of a series, and the partition that owns it; None where it has none yet."""

    series_id: int
    partition: tuple[str, int] | None


class Waiting(NamedTuple):
    """Messages of the outbox, and those of them that are older than a minute."""

    messages: int
    late: int


@contextmanager
def open_snapshot(dsn: str) -> Iterator[Connection]:
    """Yield a session that sees the database as it is now, whatever workers store meanwhile.

    It changes nothing but temporary tables of its own: ``expected``, ``expected_dirty``, ``handed_over``
    and ``faults``. As long as it is open the database cannot clean up what is deleted. Raises
    ``psycopg.Error``.
    """
    with psycopg.connect(dsn, autocommit=True, application_name="streamgauge-verify") as session:
        session.execute(_TABLES)
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        yield session
        session.execute("ROLLBACK")


def load_progress(session: Connection, topic: str) -> list[Stored]:
    """Return how far each partition is stored. Of a new snapshot this is what fixes its moment.

    Raises :class:`~streams.errors.UserError` when the database is of an earlier release.
    """
    try:
        rows = session.execute(_PROGRESS, (topic,)).fetchall()
        late = session.execute(_LATE, (topic,)).fetchall()
    except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable) as error:
        raise UserError(
            "the database is of an earlier release of this program", hint="Run `streamgauge migrate`."
        ) from error
    late_by: dict[int, dict[float, int]] = {}
    for partition, up_to_s, readings in late:
        late_by.setdefault(partition, {})[up_to_s] = readings
    fates = (Fate.WRITTEN, Fate.DUPLICATE, Fate.CORRECTION, Fate.DEAD_LETTER, Fate.FORWARDED)
    left_out = _left_out(session, topic)
    return [
        Stored(
            partition,
            next_offset,
            dict(zip(fates, counts, strict=True)),
            Order(watermark_us, released, late, late_by.get(partition, {})),
            released_to_us,
            left_out.get(partition),
        )
        for partition, next_offset, watermark_us, released_to_us, released, late, *counts in rows
    ]


def _left_out(session: Connection, topic: str) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for partition, from_offset, to_offset, recreated in session.execute(_RESUMPTIONS, (topic,)):
        begin = 0 if recreated else from_offset
        # What is read again is left out no longer, and of another topic it never was.
        kept = [] if recreated else found.get(partition, [])
        ranges = [*((start, min(end, to_offset)) for start, end in kept), (begin, to_offset)]
        found[partition] = [(start, end) for start, end in ranges if start < end]
    return found


def load_homes(session: Connection) -> dict[Name, Home]:
    """Return number and home of each series by tenant, source and metric; some 500 bytes each."""
    return {
        (tenant, source, metric): Home(series_id, None if topic is None else (topic, partition))
        for tenant, source, metric, series_id, topic, partition in session.execute(_SERIES)
    }


def load_dead_letters(
    session: Connection, topic: str, partition: int, reasons: Sequence[str]
) -> set[tuple[int, int]]:
    """Return Kafka offset and index of the readings that were refused for these reasons."""
    return set(session.execute(_SAID, (topic, partition, list(reasons))).fetchall())


def load_waiting(session: Connection, topic: str) -> Waiting:
    """Return what waits in the outbox for this topic."""
    ((messages, late),) = session.execute(_WAITING, (topic,)).fetchall()
    return Waiting(messages, late)
