"""Who holds a partition, what is known of its topic, and what speaks against its next records."""

from __future__ import annotations

from collections.abc import Sequence

from sinks.protocols import LOOK_BACK, Fenced, HaltKind, Partition, Progress, Suspicion
from sinks.timescale.session import Connection

_CLAIM = "SELECT * FROM claim_partition(%s, %s, %s, %s, %s, %s)"
_HALTED = "SELECT reason FROM halts WHERE topic = %s AND partition = %s"
_QUARANTINED = """
    SELECT count(*) FROM dead_letters
    WHERE topic = %s AND partition = %s AND reason = 'poison' AND "offset" >= %s AND "offset" < %s
"""
_PROGRESS = """
    SELECT topic, partition, epoch, next_offset, owner, topic_id, coalesce(reason, '')
    FROM progress
    JOIN unnest(%s::text[], %s::int[]) AS asked (topic, partition) USING (topic, partition)
    LEFT JOIN halts USING (topic, partition)
"""
_HALT = """
    WITH fenced AS (
        UPDATE progress SET epoch = epoch + 1, released = true
        WHERE topic = %s AND partition = %s AND epoch = %s
        RETURNING topic, partition
    )
    INSERT INTO halts (topic, partition, kind, reason) SELECT topic, partition, %s, %s FROM fenced
    ON CONFLICT (topic, partition) DO UPDATE SET kind = excluded.kind, reason = excluded.reason
"""
_ATTEMPT = """
    UPDATE progress
    SET attempts = CASE WHEN attempting = %(offset)s THEN attempts + 1 ELSE 1 END, attempting = %(offset)s
    WHERE topic = %(topic)s AND partition = %(number)s AND epoch = %(epoch)s
"""
_ABSOLVE = """
    UPDATE progress SET strikes = 0, attempting = NULL, attempts = 0
    WHERE topic = %s AND partition = %s AND epoch = %s
"""
_RELEASE = """
    UPDATE progress SET released = true, attempts = attempts - %s
    WHERE topic = %s AND partition = %s AND epoch = %s
"""


def claim(
    session: Connection, partition: Partition, owner: str, start: int, end: int, topic_id: str | None
) -> Progress:
    """Take a partition over. Raises ``psycopg.Error``."""
    name = (partition.topic, partition.number)
    ((epoch, next_offset, known_id, strikes, attempting, attempts),) = session.execute(
        _CLAIM, (*name, owner, start, end, topic_id)
    ).fetchall()
    halted = session.execute(_HALTED, name).fetchone()
    quarantined = 0
    if attempting is not None:
        before = (*name, attempting - LOOK_BACK, attempting)
        ((quarantined,),) = session.execute(_QUARANTINED, before).fetchall()
    suspicion = Suspicion(strikes, attempting, attempts, quarantined)
    return Progress(epoch, next_offset, owner, known_id, halted[0] if halted else "", suspicion)


def progress(session: Connection, partitions: Sequence[Partition]) -> dict[Partition, Progress]:
    """Return the stored progress of those ``partitions`` that have one. Raises ``psycopg.Error``."""
    topics = [partition.topic for partition in partitions]
    numbers = [partition.number for partition in partitions]
    return {
        Partition(topic, number): Progress(*found)
        for topic, number, *found in session.execute(_PROGRESS, (topics, numbers))
    }


def halt(session: Connection, partition: Partition, epoch: int, kind: HaltKind, reason: str) -> None:
    """Note a halt and raise the epoch. Raises :class:`~sinks.protocols.Fenced`, ``psycopg.Error``."""
    arguments = (partition.topic, partition.number, epoch, kind.value, reason)
    _require(session.execute(_HALT, arguments).rowcount, partition, epoch)


def attempt(session: Connection, partition: Partition, epoch: int, offset: int) -> None:
    """Note an attempt. Raises :class:`~sinks.protocols.Fenced`, ``psycopg.Error``."""
    arguments = {
        "topic": partition.topic,
        "number": partition.number,
        "epoch": epoch,
        "offset": offset,
    }
    _require(session.execute(_ATTEMPT, arguments).rowcount, partition, epoch)


def absolve(session: Connection, partition: Partition, epoch: int) -> None:
    """Forget strikes and attempts. Raises ``psycopg.Error``."""
    session.execute(_ABSOLVE, (partition.topic, partition.number, epoch))


def release(session: Connection, partition: Partition, epoch: int, *, attempting: bool) -> None:
    """Note that a partition was given up in good order. Raises ``psycopg.Error``."""
    session.execute(_RELEASE, (int(attempting), partition.topic, partition.number, epoch))


def _require(changed: int, partition: Partition, epoch: int) -> None:
    if not changed:
        raise Fenced(f"{partition.topic} [{partition.number}] is not held under epoch {epoch}")
