"""Table ``outbox``, as its relay and whoever watches it see it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sinks.timescale.session import Connection

_TOPICS = """
    WITH RECURSIVE found AS (
        (SELECT topic FROM outbox WHERE refused IS NULL ORDER BY topic LIMIT 1)
        UNION ALL
        SELECT (SELECT o.topic FROM outbox AS o WHERE refused IS NULL AND o.topic > found.topic
                ORDER BY o.topic LIMIT 1)
        FROM found WHERE found.topic IS NOT NULL
    )
    SELECT topic FROM found WHERE topic IS NOT NULL
"""
"""Steps from one topic to the next in the index, however much of each waits."""

_NEXT = """
    SELECT id, event_id, topic, partition, key, value FROM outbox
    WHERE topic = %s AND refused IS NULL AND id > %s ORDER BY id LIMIT %s
"""
_ADD = "COPY outbox (event_id, topic, key, value) FROM STDIN (FORMAT BINARY)"
_ADD_TYPES = ["text", "text", "bytea", "bytea"]
_SENT = "DELETE FROM outbox WHERE id = ANY(%s)"
_REFUSED = "UPDATE outbox SET refused = %s WHERE id = %s"
STATE = """
    SELECT coalesce(sum(waiting), 0)::bigint,
           coalesce(extract(epoch FROM clock_timestamp() - min(waiting_since)), 0)::float8,
           coalesce(sum(refused), 0)::bigint
    FROM outbox_state
"""


class Message(NamedTuple):
    """One message of the outbox."""

    id: int
    event_id: str
    topic: str
    partition: int | None
    key: bytes | None
    value: bytes


class OutboxState(NamedTuple):
    """How much waits to be sent, since when, and how much Kafka refused for good; see ``outbox_state``."""

    waiting: int = 0
    oldest_s: float = 0.0
    refused: int = 0

    def trouble(self, warn_after_s: float) -> list[str]:
        """Return what needs attention, a sentence each.

        >>> OutboxState(7, 61.0, 0).trouble(60.0)
        ['7 messages wait in the outbox, the oldest for 61 s']
        """
        told = []
        if self.oldest_s > warn_after_s:
            told.append(f"{self.waiting} messages wait in the outbox, the oldest for {self.oldest_s:.0f} s")
        if self.refused:
            told.append(f"Kafka refused {self.refused} messages of the outbox for good")
        return told


NOTHING_WAITS = OutboxState()


def copy_messages(
    session: Connection, topic: str, messages: Iterable[tuple[str, bytes | None, bytes]]
) -> None:
    """Add messages, each an event id, a key and a value, in the open transaction."""
    with session.cursor() as cursor, cursor.copy(_ADD) as copy:
        copy.set_types(_ADD_TYPES)
        for event_id, key, value in messages:
            copy.write_row((event_id, topic, key, value))


def waiting_topics(session: Connection) -> list[str]:
    """Return the topics that messages wait for, sorted."""
    return [topic for (topic,) in session.execute(_TOPICS)]


def next_messages(session: Connection, topic: str, after: int, limit: int) -> list[Message]:
    """Return the first messages above the id ``after`` that wait for ``topic``, in their order."""
    return [Message(*row) for row in session.execute(_NEXT, (topic, after, limit))]


def mark_sent(session: Connection, ids: Sequence[int]) -> None:
    """Remove messages that Kafka has."""
    session.execute(_SENT, (list(ids),))


def set_aside(session: Connection, number: int, why: str) -> None:
    """Keep a message that Kafka refused for good, and send it no more."""
    session.execute(_REFUSED, (why, number))


def read_state(session: Connection) -> OutboxState:
    """Return the state of the outbox. Analysts may ask."""
    ((waiting, oldest_s, refused),) = session.execute(STATE).fetchall()
    return OutboxState(waiting, oldest_s, refused)
