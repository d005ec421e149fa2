"""What one flush writes, statement by statement, inside its transaction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Self

import numpy as np
import psycopg

from schemas.encode import SeriesRef, encode_batch
from sinks.judging import JudgedPart
from sinks.protocols import Flush, Partition
from sinks.timescale.copy import (
    DIRTY_BUCKETS,
    FLAGGED_READINGS,
    READINGS,
    CopyStream,
    Rows,
    copy_rows,
    encode_buckets,
    encode_readings,
)
from sinks.timescale.session import Connection
from sinks.timescale.times import timestamp, timestamp_or_null
from streams.core.batch import Columns
from streams.core.deduplicate import KEPT_FOREVER_US, Judgement
from streams.core.order import LATE_BY_S, dirty_buckets
from streams.core.partition import Outcome
from streams.core.pipeline import Timed
from streams.failpoints import Point, is_on, reach

MAX_FORWARDED_IN_ONE = 100
MAX_FORWARDED_BYTES = 60_000
"""A forwarded batch is split above it; settings may not bound messages lower."""

_CORRECTION = "UPDATE readings SET value = %s, quality = %s WHERE series_id = %s AND ts = %s"
_COUNT_LATE = """
    INSERT INTO late_readings AS l (topic, partition, up_to_s, readings) VALUES (%s, %s, %s, %s)
    ON CONFLICT (topic, partition, up_to_s) DO UPDATE SET readings = l.readings + excluded.readings
"""
_VERSION = """
    INSERT INTO reading_versions (series_id, ts, revision, value, quality, late)
    VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""
_OUTBOX = "INSERT INTO outbox (event_id, topic, partition, key, value) VALUES (%s, %s, %s, %s, %s)"
_ADVANCE = f"SELECT advance_progress({', '.join(['%s'] * 17)});"
COMMIT = "SET LOCAL synchronous_commit TO off; COMMIT"


class ReadingsCopy:
    """What a flush found new on its way into the table, outcome by outcome.

    The database stores one while the next is found, which is most of what a worker has to do meanwhile.
    Rows of one are sorted. Those that are late, with another column, and corrections follow.
    """

    def __init__(self, session: Connection, timed: Timed, *, threaded: bool) -> None:
        self._session = session
        self._timed = timed
        self._stream = CopyStream(session, READINGS, threaded=threaded)
        self._late: list[Rows] = []
        self._judgements: list[Judgement] = []

    def __enter__(self) -> Self:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)

    def send(self, outcome: Outcome) -> None:
        """Have what is new copied."""
        with self._timed("encode"):
            points, late = outcome.stored, outcome.late
            if late.any():
                self._late.append(encode_readings(*points.take(late), late[late]))
                points = points.take(~late)
            rows = encode_readings(*points)
        self._judgements.append(outcome.judgement)
        self._stream.send(rows)

    def session(self) -> Connection:
        """Return the connection for a question in between, when the database holds what was sent."""
        self._land()
        return self._session

    def land(self) -> None:
        """Wait until all is stored."""
        with self._timed("copy"):
            self._land()

    def _land(self) -> None:
        self._stream.land()
        for rows in self._late:
            copy_rows(self._session, FLAGGED_READINGS, rows)
        _correct(self._session, self._judgements)
        self._late, self._judgements = [], []


def _correct(session: Connection, judgements: Sequence[Judgement]) -> None:
    """Replace the values of corrected readings, and keep every version of them."""
    corrected = [
        (version.value, version.quality, version.series_id, timestamp(version.time_us))
        for judgement in judgements
        for version in judgement.corrected
    ]
    versions = [
        (version.series_id, timestamp(version.time_us), *version[2:])
        for judgement in judgements
        for version in judgement.versions
    ]
    with session.cursor() as cursor:
        if corrected:
            cursor.executemany(_CORRECTION, corrected)
        if versions:
            cursor.executemany(_VERSION, versions)


def mark_dirty(session: Connection, parts: Sequence[JudgedPart]) -> None:
    """Mark what is to be computed again because something came late, and count by how late."""
    found = [outcome.dirty for part in parts for outcome in part.outcomes]
    dirty = dirty_buckets(*map(np.concatenate, zip(*found, strict=True)))  # each once
    copy_rows(session, DIRTY_BUCKETS, encode_buckets(*dirty))
    counted = [
        (part.part.partition.topic, part.part.partition.number, up_to_s, count)
        for part in parts
        for up_to_s, count in zip((*LATE_BY_S, np.inf), part.late_by, strict=True)
        if count
    ]
    if counted:
        with session.cursor() as cursor:
            cursor.executemany(_COUNT_LATE, counted)


def forward(
    session: Connection, flush: Flush, parts: Sequence[JudgedPart], homes: Sequence[Partition]
) -> None:
    """Put readings of series that other partitions own into the outbox, as batches to those partitions.

    They carry no sequence numbers: those are of the partition that the producer sends to.
    """
    rows = [
        (
            f"{part.part.partition.topic}/{part.part.partition.number}/{part.part.base}/{number}",
            homes[home].topic,
            homes[home].number,
            producer.encode(),
            message,
        )
        for part in parts
        for number, (home, producer, message) in enumerate(forwarded_messages(flush, part))
    ]
    if rows:
        with session.cursor() as cursor:
            cursor.executemany(_OUTBOX, rows)


def forwarded_messages(flush: Flush, part: JudgedPart) -> list[tuple[int, str, bytes]]:
    """Return home, producer and message of what is to be forwarded, in log order for each of both."""
    columns, homes = part.foreign, part.foreign_home.tolist()
    tenants = [flush.series.keys[index].tenant for index in columns.series.tolist()]
    owners = list(zip(homes, columns.producer.tolist(), tenants, strict=True))
    messages = []
    order = sorted(range(len(owners)), key=owners.__getitem__)
    for (home, producer, tenant), rows in groupby(order, key=owners.__getitem__):
        group = list(rows)
        for start in range(0, len(group), MAX_FORWARDED_IN_ONE):
            some = columns.take(np.array(group[start : start + MAX_FORWARDED_IN_ONE]))
            name = flush.producers[producer]
            messages += [(home, name, batch) for batch in _forwarded_batches(flush, some, tenant, name)]
    return messages


def _forwarded_batches(flush: Flush, columns: Columns, tenant: str, producer: str) -> list[bytes]:
    """Return these readings as batches of which none is too large for a broker or a worker."""
    batch = _forwarded_batch(flush, columns, tenant, producer)
    if len(batch) <= MAX_FORWARDED_BYTES or len(columns) == 1:
        return [batch]
    middle = len(columns) // 2
    halves = columns.take(np.arange(middle)), columns.take(np.arange(middle, len(columns)))
    return [part for half in halves for part in _forwarded_batches(flush, half, tenant, producer)]


def _forwarded_batch(flush: Flush, columns: Columns, tenant: str, producer: str) -> bytes:
    indices, series_index = np.unique(columns.series, return_inverse=True)
    keys = [flush.series.keys[index] for index in indices.tolist()]
    return encode_batch(
        producer=producer,
        tenant=tenant,
        series=[SeriesRef(key.source, key.metric, dict(key.attributes) or None) for key in keys],
        series_index=series_index,
        time_us=columns.time_us,
        value=columns.value,
        quality=columns.quality,
        revision=columns.revision,
    )


def advance_and_commit(session: Connection, parts: Sequence[JudgedPart], kept_from_us: int) -> None:
    """Compare, swap and commit in one message.

    A worker stopped in between would hold the rows of ``progress`` and so block its successor; a
    single message leaves it no in between. The commit need not wait for the disk: after a crash
    readings and offsets are gone together.
    """
    kept_from = "-infinity" if kept_from_us == KEPT_FOREVER_US else timestamp(kept_from_us)
    arguments: list[object] = []
    for judged in sorted(parts, key=lambda judged: judged.part.partition):
        part = judged.part
        arguments += [part.partition.topic, part.partition.number, part.epoch, part.base, part.next]
        clock_ms, era, watermark_us, released_us = judged.reached
        arguments += [
            kept_from,
            None if clock_ms is None else timestamp(1000 * clock_ms),
            era,
            timestamp_or_null(watermark_us),
            timestamp_or_null(released_us),
            *judged.counts,
        ]
    with psycopg.ClientCursor(session) as cursor:
        advance = _ADVANCE * len(parts)
        if is_on(Point.BEFORE_COMMIT):
            cursor.execute(advance, arguments)
            reach(Point.BEFORE_COMMIT)
            cursor.execute(COMMIT)
        else:
            cursor.execute(advance + COMMIT, arguments)
