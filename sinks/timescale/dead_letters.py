"""Refused input in table ``dead_letters``: written with a flush, listed and shown to operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg.rows import class_row

from sinks.judging import JudgedPart
from sinks.timescale.session import Connection

_COPY = """
    COPY dead_letters (topic, partition, "offset", index, reason, detail, payload, payload_bytes)
    FROM STDIN (FORMAT BINARY)
"""
_TYPES = ["text", "int4", "int8", "int4", "text", "text", "bytea", "int4"]

_COLUMNS = 'id, at, topic, partition, "offset", index, reason, detail, payload, payload_bytes'
_LIST = f"""
    SELECT {_COLUMNS} FROM dead_letters
    WHERE (%(reason)s::text IS NULL OR reason = %(reason)s)
      AND (%(topic)s::text IS NULL OR topic = %(topic)s)
    ORDER BY id DESC LIMIT %(limit)s
"""
_SHOW = f"SELECT {_COLUMNS} FROM dead_letters WHERE id = %s"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One stored dead letter; ``payload`` may be shorter than ``payload_bytes`` says it was."""

    id: int
    at: datetime
    topic: str
    partition: int
    offset: int
    index: int
    reason: str
    detail: str
    payload: bytes
    payload_bytes: int


def copy_dead_letters(session: Connection, parts: Sequence[JudgedPart]) -> None:
    """Store the rejections of ``parts`` in the session's open transaction."""
    if not any(part.rejections for part in parts):
        return
    with session.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for part in parts:
            for rejection in part.rejections:
                copy.write_row(
                    (
                        part.part.partition.topic,
                        part.part.partition.number,
                        rejection.offset,
                        rejection.index,
                        rejection.reason.value,
                        storable(rejection.detail),
                        rejection.payload,
                        rejection.payload_bytes,
                    )
                )


def storable(text: str) -> str:
    """Return ``text`` with those characters escaped that PostgreSQL's text cannot hold.

    >>> storable("a\\0b")
    'a\\\\0b'
    """
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")


def list_dead_letters(
    dsn: str, limit: int, reason: str | None = None, topic: str | None = None
) -> list[DeadLetter]:
    """Return the newest ``limit`` dead letters, newest first. Raises ``psycopg.Error``."""
    with psycopg.connect(dsn, row_factory=class_row(DeadLetter)) as connection:
        arguments = {"limit": limit, "reason": reason, "topic": topic}
        return connection.execute(_LIST, arguments).fetchall()


def find_dead_letter(dsn: str, number: int) -> DeadLetter | None:
    """Return the dead letter with that id, if there is one. Raises ``psycopg.Error``."""
    with psycopg.connect(dsn, row_factory=class_row(DeadLetter)) as connection:
        return connection.execute(_SHOW, (number,)).fetchone()
