"""What operators do with dead letters: list them, look at one, send them again, discard them.

Sending again puts what is stored of a letter into the outbox, in the transaction that marks the
letter: it goes through the same pipeline as everything else, which stores each reading once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple

import orjson
import psycopg
from psycopg.rows import class_row, dict_row

from streams.core.rejection import WHOLE_RECORD, Reason

AT_ONCE = 1_000
"""Letters of one transaction."""

COUNTED = frozenset({Reason.SERIES_LIMIT, Reason.EXPIRED, Reason.CONFLICT})
"""Reasons that are found once a reading's sequence number is counted as arrived."""

_SUMMARY = """id, at, topic, partition, "offset", index, reason, detail, payload_bytes, kafka_time,
    state, state_at, state_by, state_why"""
_CHOSEN = """
    (%(ids)s::bigint[] IS NULL OR id = ANY(%(ids)s))
    AND (%(reason)s::text IS NULL OR reason = %(reason)s)
    AND (%(topic)s::text IS NULL OR topic = %(topic)s)
    AND (%(partition)s::int IS NULL OR partition = %(partition)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (%(state)s::text IS NULL OR state = %(state)s)
"""
_WHOLE = "octet_length(payload) = payload_bytes AND payload_bytes > 0"
_LIST = f"SELECT {_SUMMARY} FROM dead_letters WHERE {_CHOSEN} ORDER BY id DESC LIMIT %(limit)s"
_SHOW = f"SELECT {_SUMMARY}, key, payload FROM dead_letters WHERE id = %s"
_COUNT = f"""
    SELECT count(*) FILTER (WHERE {_WHOLE}), count(*) FILTER (WHERE NOT ({_WHOLE})), coalesce(max(id), 0)
    FROM dead_letters WHERE {_CHOSEN}
"""
_TAKE = f"""
    UPDATE dead_letters
    SET state = 'replayed', state_at = clock_timestamp(), state_by = %(by)s, state_why = NULL
    WHERE id IN (
        SELECT id FROM dead_letters
        WHERE {_CHOSEN} AND {_WHOLE} AND id > %(after)s AND id <= %(last)s
        ORDER BY id LIMIT %(limit)s FOR UPDATE
    )
    RETURNING id, topic, partition, index, reason, key, payload
"""
_SEND = "COPY outbox (event_id, topic, partition, key, value) FROM STDIN (FORMAT BINARY)"
_SEND_TYPES = ["text", "text", "int4", "bytea", "bytea"]
_DISCARD = f"""
    UPDATE dead_letters
    SET state = 'discarded', state_at = clock_timestamp(), state_by = %(by)s, state_why = %(why)s
    WHERE {_CHOSEN} AND id <= %(last)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dead letters are meant: those that everything fits that is given."""

    ids: Sequence[int] | None = None
    reason: str | None = None
    topic: str | None = None
    partition: int | None = None
    since: datetime | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One stored dead letter; ``payload`` is shorter than ``payload_bytes`` where it was cut."""

    id: int
    at: datetime
    topic: str
    partition: int
    offset: int
    index: int
    reason: str
    detail: str
    payload_bytes: int
    kafka_time: datetime | None
    state: str
    state_at: datetime | None
    state_by: str | None
    state_why: str | None
    key: bytes | None
    payload: bytes

    @property
    def cut(self) -> bool:
        """Whether its payload is not kept whole."""
        return len(self.payload) < self.payload_bytes


class Counts(NamedTuple):
    """How many letters of a choice can be sent again and cannot, and the highest id among them."""

    whole: int
    cut: int
    last_id: int


class _Taken(NamedTuple):
    id: int
    topic: str
    partition: int
    place: int
    reason: str
    key: bytes | None
    payload: bytes


def list_letters(dsn: str, choice: Choice, limit: int) -> list[dict[str, Any]]:
    """Return the newest ``limit`` of the chosen, newest first, without key and payload.

    Analysts may ask. Raises ``psycopg.Error``.
    """
    with psycopg.connect(dsn, row_factory=dict_row) as session:
        return session.execute(_LIST.encode(), {**asdict(choice), "limit": limit}).fetchall()


def find_letter(dsn: str, number: int) -> DeadLetter | None:
    """Return the dead letter with that id, if there is one. Raises ``psycopg.Error``."""
    with psycopg.connect(dsn, row_factory=class_row(DeadLetter)) as session:
        return session.execute(_SHOW.encode(), (number,)).fetchone()


def count_letters(dsn: str, choice: Choice) -> Counts:
    """Return how many letters are chosen. Raises ``psycopg.Error``."""
    with psycopg.connect(dsn) as session:
        ((whole, cut, last_id),) = session.execute(_COUNT.encode(), asdict(choice)).fetchall()
        return Counts(whole, cut, last_id)


def replay(dsn: str, choice: Choice, last_id: int, by: str, revision: int | None = None) -> int:
    """Send the chosen letters up to ``last_id`` to the partitions they came from; return how many.

    Those that are cut stay as they are. ``revision`` is that of refused readings when they are sent.
    Whoever is interrupted may call it again: what was marked was sent. Raises ``psycopg.Error``.
    """
    arguments = {**asdict(choice), "by": by, "last": last_id, "limit": AT_ONCE, "after": 0}
    sent = 0
    with psycopg.connect(dsn, autocommit=True) as session:
        while True:
            with session.transaction():
                taken = sorted(_Taken(*row) for row in session.execute(_TAKE.encode(), arguments))
                _put_into_outbox(session, taken, revision)
            if not taken:
                return sent
            sent += len(taken)
            arguments["after"] = taken[-1].id


def discard(dsn: str, choice: Choice, last_id: int, by: str, why: str) -> int:
    """Mark the chosen letters up to ``last_id`` as settled; return how many. Raises ``psycopg.Error``."""
    arguments = {**asdict(choice), "by": by, "why": why, "last": last_id}
    with psycopg.connect(dsn, autocommit=True) as session:
        return session.execute(_DISCARD.encode(), arguments).rowcount


def _put_into_outbox(session: psycopg.Connection[Any], taken: Sequence[_Taken], revision: int | None) -> None:
    if not taken:
        return
    with session.cursor() as cursor, cursor.copy(_SEND) as copy:
        copy.set_types(_SEND_TYPES)
        for letter in taken:
            message = message_of(letter.place, letter.reason, letter.payload, revision)
            copy.write_row((f"dead-letter/{letter.id}", letter.topic, letter.partition, letter.key, message))


def message_of(place: int, reason: str, payload: bytes, revision: int | None = None) -> bytes:
    """Return what is sent for a letter: its payload, which a reading's number may have to leave.

    A number that was counted would make another reading of the same one, and so a conflict.

    >>> message_of(0, "series_limit", b'{"source":"pump-1","sequence":7}')
    b'{"source":"pump-1"}'
    """
    if place == WHOLE_RECORD or (reason not in COUNTED and revision is None):
        return payload
    reading = orjson.loads(payload)
    reading.pop("sequence", None)
    if revision is not None:
        reading["revision"] = revision
    return orjson.dumps(reading)
