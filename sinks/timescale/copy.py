"""Rows as the bytes of PostgreSQL's binary COPY, built by numpy.

Source of the format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import LiteralString, Self

import numpy as np
import numpy.typing as npt
from psycopg.copy import Copy, LibpqWriter, QueuedLibpqWriter
from psycopg.sql import SQL, Composable

from sinks.timescale.session import Connection
from streams.core.batch import Bools, Float64, Int16, Int32, Int64

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 00:00:00 UTC, where PostgreSQL's clock starts, in microseconds since 1970."""

READINGS = "readings (ts, value, series_id, quality)"
FLAGGED_READINGS = "readings (ts, value, series_id, quality, late)"
DIRTY_BUCKETS = "dirty_buckets (bucket, series_id)"

Rows = npt.NDArray[np.void]


def layout(**types: str) -> Rows:
    """Return one row of zeros whose columns are of these numpy types, in the network's byte order."""
    fields = [("fields", ">i2")]
    for name, kind in types.items():
        fields += [(f"{name}_bytes", ">i4"), (name, kind)]
    row = np.zeros(1, np.dtype(fields))
    row["fields"] = len(types)
    for name, kind in types.items():
        row[f"{name}_bytes"] = np.dtype(kind).itemsize
    return row


_READING = layout(ts=">i8", value=">f8", series_id=">i4", quality=">i2")
_FLAGGED_READING = layout(ts=">i8", value=">f8", series_id=">i4", quality=">i2", late="?")
_BUCKET = layout(bucket=">i8", series_id=">i4")

READING_BYTES = _READING.dtype.itemsize


def encode_readings(
    series_id: Int32, time_us: Int64, value: Float64, quality: Int16, late: Bools | None = None
) -> Rows:
    """Return rows of ts, value, series_id, quality, and late where it is given, in the order given.

    ``time_us`` is in microseconds since 1970. Sorted by series and time they are stored faster.

    >>> rows = encode_readings(
    ...     np.array([7], np.int32), np.array([0]), np.array([1.5]), np.array([0], np.int16)
    ... )
    >>> rows["series_id"].tolist(), rows["value"].tolist()
    ([7], [1.5])
    """
    rows = np.repeat(_READING if late is None else _FLAGGED_READING, len(time_us))
    rows["ts"] = time_us - POSTGRES_EPOCH_US
    rows["value"] = value
    rows["series_id"] = series_id
    rows["quality"] = quality
    if late is not None:
        rows["late"] = late
    return rows


def encode_buckets(series_id: Int32, bucket_us: Int64) -> Rows:
    """Return rows of bucket and series_id; ``bucket_us`` is in microseconds since 1970."""
    rows = np.repeat(_BUCKET, len(bucket_us))
    rows["bucket"] = bucket_us - POSTGRES_EPOCH_US
    rows["series_id"] = series_id
    return rows


def copy_rows(session: Connection, table: str, rows: Rows) -> None:
    """Copy encoded rows into ``table``, which names its columns too; none where there are none."""
    if len(rows):
        copy_bytes(session, table, rows.view(np.uint8).data)


def read_rows(
    session: Connection,
    query: LiteralString | Composable,
    arguments: Sequence[object] | Mapping[str, object],
    with_clauses: LiteralString | Composable = "",
    **types: str,
) -> npt.NDArray[np.void]:
    """Return the rows of a query, none of whose columns is NULL, as columns of these numpy types.

    They come as one value, in no certain order. COPY would bring each by itself, which takes the client
    several times as long. ``with_clauses`` come before it and may write.
    """
    fields = [("columns", ">i4")]
    for name, kind in types.items():
        fields += [(f"{name}_type", ">i4"), (f"{name}_bytes", ">i4"), (name, kind)]
    whole = SQL("{} SELECT string_agg(record_send(asked), '') FROM ({}) AS asked").format(
        *(SQL(part) if isinstance(part, str) else part for part in (with_clauses, query))
    )
    with session.cursor(binary=True) as cursor:
        ((received,),) = cursor.execute(whole, arguments).fetchall()
    return np.frombuffer(received or b"", np.dtype(fields))


def copy_bytes(session: Connection, table: str, rows: memoryview) -> None:
    """Copy rows that are bytes already."""
    with session.cursor() as cursor, cursor.copy(_copy_into(table)) as copy:
        copy.write(HEADER)
        copy.write(rows)
        copy.write(TRAILER)


class CopyStream:
    """Rows on their way into one table, while the caller prepares the next.

    The connection serves nothing else before :meth:`land`. Leaving the block without it gives the
    transaction up. ``threaded``: a thread hands the rows over, so that the caller never waits for the
    database; for few rows it costs more than they do.
    """

    def __init__(self, session: Connection, table: str, *, threaded: bool) -> None:
        self._session = session
        self._writer = QueuedLibpqWriter if threaded else LibpqWriter
        self._statement = _copy_into(table)
        self._open = ExitStack()
        self._copy: Copy | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def send(self, rows: Rows) -> None:
        """Have these rows copied after those sent before."""
        if len(rows):
            if self._copy is None:
                cursor = self._open.enter_context(self._session.cursor())
                copy = cursor.copy(self._statement, writer=self._writer(cursor))
                self._copy = self._open.enter_context(copy)
                self._copy.write(HEADER)
            self._copy.write(rows.view(np.uint8).data)

    def land(self) -> None:
        """Wait until all that was sent is in the table; the connection is free then."""
        if self._copy is not None:
            self._copy.write(TRAILER)
            self._copy = None
            self._open.close()


def _copy_into(table: str) -> bytes:
    return f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()
