"""Refused input, stored with a flush: a row of table ``dead_letters`` each, and a message for its topic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from schemas.dead_letter import encode_dead_letter
from sinks.judging import JudgedPart
from sinks.protocols import Partition
from sinks.timescale.outbox import copy_messages
from sinks.timescale.session import Connection
from sinks.timescale.times import timestamp
from streams.core.rejection import MAX_PAYLOAD_BYTES, Rejection
from streams.core.validate import LATEST_US

MAX_KEY_BYTES = 1_024
"""So much of a record's key is that of its letter's message: with the payload, cut, it fits the topic."""

_COPY = """
    COPY dead_letters (
        topic, partition, "offset", index, reason, detail, payload, payload_bytes, key, kafka_time
    ) FROM STDIN (FORMAT BINARY)
"""
_TYPES = ["text", "int4", "int8", "int4", "text", "text", "bytea", "int4", "bytea", "timestamptz"]


class Letter(NamedTuple):
    """A refusal, with where it happened and the key and Kafka timestamp of its record."""

    partition: Partition
    rejection: Rejection
    key: bytes | None
    time_ms: int | None

    @property
    def event_id(self) -> str:
        """The same whenever and by whom the record is read again."""
        partition, refused = self.partition, self.rejection
        return f"{partition.topic}/{partition.number}/{refused.offset}/{refused.index}"

    def row(self) -> tuple[object, ...]:
        """Return it as a row of ``dead_letters``."""
        partition, refused = self.partition, self.rejection
        return (
            partition.topic,
            partition.number,
            refused.offset,
            refused.index,
            refused.reason.value,
            storable(refused.detail),
            refused.payload,
            refused.payload_bytes,
            self.key,
            self._time(),
        )

    @property
    def message_key(self) -> bytes | None:
        """Key of its message."""
        return None if self.key is None else self.key[:MAX_KEY_BYTES]

    def message(self) -> bytes:
        """Return it as the value of a Kafka message."""
        refused = self.rejection
        return encode_dead_letter(
            topic=self.partition.topic,
            partition=self.partition.number,
            offset=refused.offset,
            index=refused.index,
            time_ms=self.time_ms,
            reason=refused.reason.value,
            detail=storable(refused.detail),
            payload=refused.payload[:MAX_PAYLOAD_BYTES],
            payload_bytes=refused.payload_bytes,
        )

    def _time(self) -> datetime | None:
        return None if self.time_ms is None else timestamp(1000 * self.time_ms)


def copy_dead_letters(session: Connection, parts: Sequence[JudgedPart], topic: str) -> None:
    """Store the rejections of ``parts``, and messages about them to ``topic``, in the open transaction."""
    letters = [letter for part in parts for letter in letters_of(part)]
    if not letters:
        return
    with session.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(_TYPES)
        for letter in letters:
            copy.write_row(letter.row())
    copy_messages(session, topic, ((each.event_id, each.message_key, each.message()) for each in letters))


def letters_of(judged: JudgedPart) -> Iterator[Letter]:
    """Yield the dead letters of one part, in log order."""
    records = _records(judged)
    for rejection in judged.rejections:
        key, time_ms = records.get(rejection.offset, (None, -1))
        known = 0 <= time_ms < LATEST_US // 1000
        yield Letter(judged.part.partition, rejection, key, time_ms if known else None)


def _records(judged: JudgedPart) -> dict[int, tuple[bytes | None, int]]:
    """Return key and Kafka timestamp of the records that rejections are about, by offset."""
    found: dict[int, tuple[bytes | None, int]] = {}
    if judged.rejections:
        wanted = np.array([rejection.offset for rejection in judged.rejections])
        for offsets, keys, times_ms in judged.part.envelopes:
            for row in np.flatnonzero(np.isin(offsets, wanted)).tolist():
                found[int(offsets[row])] = keys[row], int(times_ms[row])
    return found


def storable(text: str) -> str:
    """Return ``text`` with those characters escaped that PostgreSQL's text cannot hold.

    >>> storable("a\\0b")
    'a\\\\0b'
    """
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")
