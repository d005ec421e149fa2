"""The place that readings go to: one TimescaleDB transaction for each flush."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import numpy.typing as npt
import psycopg
from psycopg import errors

from sinks.protocols import Flush, Part, Partition, Progress, Written
from sinks.refusal import refuse_series
from sinks.timescale.copy import COPY_READINGS, HEADER, TRAILER, encode_readings
from sinks.timescale.dead_letters import copy_dead_letters
from sinks.timescale.registry import REFUSED, SeriesRegistry
from sinks.timescale.session import Connection, connect, translated
from streams.core.batch import Int32

CLAIM_ATTEMPTS = 3

_CLAIM = "SELECT epoch, next_offset FROM claim_partition(%s, %s, %s, %s)"
_PROGRESS = """
    SELECT topic, partition, epoch, next_offset, owner
    FROM progress JOIN unnest(%s::text[], %s::int[]) AS asked (topic, partition) USING (topic, partition)
"""
_ADVANCE = "SELECT advance_progress(%s, %s, %s, %s, %s, %s, %s);"
_COMMIT = "SET LOCAL synchronous_commit TO off; COMMIT"


class TimescaleSink:
    """Stores flushes in TimescaleDB, exactly once (:class:`~sinks.protocols.ReadingsSink`).

    It holds one connection, opened when it is first needed and again after each failure. ``owner``
    is unique for each live worker: its sessions carry it as ``application_name``, by which the
    next owner of a partition ends what this one left open.
    """

    def __init__(self, dsn: str, owner: str, max_series_per_tenant: int = 1_000_000) -> None:
        self._dsn = dsn
        self._owner = owner
        self._connection: Connection | None = None
        self._registry = SeriesRegistry(max_series_per_tenant)

    def claim(self, partition: Partition, owner: str, start: int) -> Progress:
        """Take ``partition`` over; see :class:`~sinks.protocols.ReadingsSink`.

        Each attempt waits at most five seconds for a predecessor whose transaction holds the row,
        and ends it once that is three seconds old. Raises :class:`~sinks.protocols.SinkUnavailable`.
        """
        with self._session() as session:
            for _ in range(CLAIM_ATTEMPTS - 1):
                with suppress(errors.LockNotAvailable):
                    return _claim(session, partition, owner, start)
            return _claim(session, partition, owner, start)

    def progress(self, partitions: list[Partition]) -> dict[Partition, Progress]:
        """Return the stored progress of those ``partitions`` that have one."""
        topics = [partition.topic for partition in partitions]
        numbers = [partition.number for partition in partitions]
        with self._session() as session:
            return {
                Partition(topic, number): Progress(epoch, next_offset, owner)
                for topic, number, epoch, next_offset, owner in session.execute(_PROGRESS, (topics, numbers))
            }

    def write(self, flush: Flush) -> Written:
        """Make the flush visible in one transaction; see :class:`~sinks.protocols.ReadingsSink`.

        Readings of series beyond ``max_series_per_tenant`` become dead letters.
        """
        if not flush.parts:
            return Written(0, 0)
        with self._session() as session:
            parts, series_id = self._admit(session, flush)
            session.execute("BEGIN")
            _copy_readings(session, _rows(parts, series_id))
            copy_dead_letters(session, parts)
            _advance_and_commit(session, parts)
        return Written(len(series_id), sum(len(part.rejections) for part in parts))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _session(self) -> Iterator[Connection]:
        """Yield the open connection; any failure closes it, which ends the transaction, and is translated."""
        try:
            if self._connection is None:
                self._registry.forget()
                self._connection = connect(self._dsn, self._owner)
            yield self._connection
        except psycopg.Error as error:
            self.close()
            raise translated(error) from error
        except BaseException:
            self.close()
            raise

    def _admit(self, session: Connection, flush: Flush) -> tuple[list[Part], Int32]:
        """Return the parts without what is refused, and the ``series_id`` of every reading in them."""
        series = [columns.series for part in flush.parts for columns in part.columns]
        if not series:
            return flush.parts, np.empty(0, np.int32)
        series_id = self._registry.resolve(session, flush.series, np.concatenate(series))
        refused = series_id == REFUSED
        if not refused.any():
            return flush.parts, series_id
        return refuse_series(flush.parts, refused, flush.series), series_id[~refused]


def _claim(session: Connection, partition: Partition, owner: str, start: int) -> Progress:
    ((epoch, next_offset),) = session.execute(
        _CLAIM, (partition.topic, partition.number, owner, start)
    ).fetchall()
    return Progress(epoch, next_offset, owner)


def _rows(parts: list[Part], series_id: Int32) -> npt.NDArray[np.void]:
    if not len(series_id):
        return np.empty(0, np.void)
    columns = [columns for part in parts for columns in part.columns]
    return encode_readings(
        series_id,
        np.concatenate([c.time_us for c in columns]),
        np.concatenate([c.value for c in columns]),
        np.concatenate([c.quality for c in columns]),
    )


def _copy_readings(session: Connection, rows: npt.NDArray[np.void]) -> None:
    if not len(rows):
        return
    with session.cursor() as cursor, cursor.copy(COPY_READINGS) as copy:
        copy.write(HEADER)
        copy.write(rows.view(np.uint8).data)
        copy.write(TRAILER)


def _advance_and_commit(session: Connection, parts: list[Part]) -> None:
    """Compare, swap and commit in one message.

    A worker stopped in between would hold the rows of ``progress`` and so block its successor; a
    single message leaves it no in between. The commit need not wait for the disk: after a crash
    readings and offsets are gone together.
    """
    arguments: list[str | int] = []
    for part in sorted(parts, key=lambda part: part.partition):
        arguments += [part.partition.topic, part.partition.number, part.epoch, part.base, part.next]
        arguments += [sum(len(columns) for columns in part.columns), len(part.rejections)]
    with psycopg.ClientCursor(session) as cursor:
        cursor.execute(_ADVANCE * len(parts) + _COMMIT, arguments)
