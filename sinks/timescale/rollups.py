"""Closed buckets as rows of the database: written once, read to go on from, computed again where dirty.

Tables ``rollup_closed_1m`` and so on, one for each level, so that each is kept for as long as it is wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, LiteralString, NamedTuple

import numpy as np
import numpy.typing as npt
from psycopg.sql import SQL, Composed, Identifier

from sinks.protocols import Partition
from sinks.timescale.copy import POSTGRES_EPOCH_US, CopyStream, Rows, copy_rows, layout, read_rows
from sinks.timescale.session import Connection
from sinks.timescale.slices import read_sliced
from sinks.timescale.times import timestamp
from streams.core.aggregate import Aggregates, aggregate, coarsen, merge
from streams.core.batch import NEVER_US, Int32, Int64, Points
from streams.core.deduplicate import series_time_order
from streams.core.levels import level_name
from streams.core.rollup import Closing, Rollups, begin_us

ROWS_AT_ONCE = 10_000
"""So many rows are encoded before they are sent: what that needs of memory is bounded."""


class Level(NamedTuple):
    """One level: its name, and how wide its buckets are."""

    name: str
    width_us: int

    @staticmethod
    def of(width_us: int) -> Level:
        """Return the level of a width.

        >>> Level.of(60_000_000).table
        'rollup_closed_1m'
        """
        return Level(level_name(width_us), width_us)

    @property
    def table(self) -> str:
        """Name of the table of its closed buckets."""
        return f"rollup_closed_{self.name}"


TYPES = {
    "series_id": ">i4",
    "bucket": ">i8",
    "readings": ">i8",
    "bad": ">i8",
    "sum": ">f8",
    "min": ">f8",
    "max": ">f8",
    "first": ">f8",
    "first_at": ">i8",
    "last": ">f8",
    "last_at": ">i8",
    "m2": ">f8",
    "increase": ">f8",
    "integral": ">f8",
}
COLUMNS = tuple(TYPES)
"""In the order of :class:`~streams.core.aggregate.Aggregates`."""

REVISION = {"revision": ">i4"}
ROW = layout(**TYPES, **REVISION)
_TIMES = ("bucket", "first_at", "last_at")
POINT_TYPES = {"series_id": ">i4", "ts": ">i8", "value": ">f8", "quality": ">i2"}

_LEVELS = "SELECT width_s FROM rollup_levels ORDER BY width_s"
RELEASED: LiteralString = "SELECT series_id, ts, value, quality FROM unreleased_readings(%s, %s, %s, %s, %s)"
_BELOW = SQL(
    "SELECT {columns} FROM {table} AS r JOIN series AS s USING (series_id)"
    " WHERE s.home_topic = %s AND s.home_partition = %s AND r.bucket >= %s AND r.bucket < %s LIMIT %s"
)


def read_levels(session: Connection) -> list[Level]:
    """Return the levels that this database keeps, from the lowest on."""
    return [Level.of(width_s * 1_000_000) for (width_s,) in session.execute(_LEVELS)]


def of_rows(query: SQL, level: Level, *further: str) -> Composed:
    """Return ``query`` with a level's ``table`` and, of its rows ``r``, ``columns`` and ``further`` ones."""
    columns = SQL(", ").join(Identifier("r", name) for name in (*COLUMNS, *further))
    return query.format(table=Identifier(level.table), columns=columns)


def encode_rollups(rows: Aggregates, revision: Int32 | int = 0) -> Rows:
    """Return rows for :func:`copy_rollups`."""
    encoded = np.repeat(ROW, len(rows.readings))
    for name, column in zip(TYPES, rows, strict=True):
        encoded[name] = column
    for name, time_us in zip(_TIMES, (rows.bucket_us, rows.first_us, rows.last_us), strict=True):
        encoded[name] = _to_postgres(time_us)
    encoded["revision"] = revision
    return encoded


def decode_rollups(encoded: Rows) -> Aggregates:
    """Return rows of the columns ``COLUMNS``, by series, then bucket."""
    rows = Aggregates._make(
        _from_postgres(encoded[name]) if name in _TIMES else _native(encoded[name]) for name in TYPES
    )
    return rows.take(series_time_order(rows.series_id, rows.bucket_us))


def copy_rollups(session: Connection, level: Level, rows: Aggregates, revision: Int32 | int = 0) -> None:
    """Store rows of a level."""
    copy_rows(session, _place(level), encode_rollups(rows, revision))


def copy_closed(session: Connection, closings: Sequence[Closing]) -> None:
    """Store the buckets that a flush closes, of each level; no two of ``closings`` share one.

    They are encoded piece by piece: all of a level may end at the same moment.
    """
    for level in map(Level.of, widths_of(closings)):
        with CopyStream(session, _place(level), threaded=False) as copy:
            for rows in pieces(closings, level):
                copy.send(encode_rollups(rows))
            copy.land()


def pieces(closings: Sequence[Closing], level: Level) -> Iterator[Aggregates]:
    """Yield the rows of a level, not too many at once."""
    for closing in closings:
        rows = closing.of_width(level.width_us)
        for start in range(0, len(rows.readings), ROWS_AT_ONCE):
            yield Aggregates._make(column[start : start + ROWS_AT_ONCE] for column in rows)


def _place(level: Level) -> str:
    return f"{level.table} ({', '.join((*COLUMNS, *REVISION))})"


def widths_of(closings: Sequence[Closing]) -> list[int]:
    """Return the widths of the levels of a flush, from the lowest on."""
    return sorted({width_us for closing in closings for width_us in closing.widths_us})


def load_rollups(session: Connection, partition: Partition, released_us: int) -> Rollups:
    """Return the open buckets of a partition, of which all before ``released_us`` was released."""
    levels = read_levels(session)
    widths_us = [level.width_us for level in levels]
    if released_us == NEVER_US:
        return Rollups(widths_us)
    since_us = begin_us(released_us, widths_us[0])
    lowest = [
        aggregate(decode_points(rows), widths_us[0])
        for rows in _sliced(session, RELEASED, POINT_TYPES, partition, since_us, released_us, widths_us[0])
    ]
    higher = [
        [
            coarsen(decode_rollups(rows), above.width_us)
            for rows in _sliced(
                session, of_rows(_BELOW, below), TYPES, partition, from_us, since_us, below.width_us
            )
        ]
        for below, above in pairwise(levels)
        for from_us in [begin_us(released_us, above.width_us)]
    ]
    return Rollups(widths_us, [merge(parts) for parts in (lowest, *higher)])


def _sliced(
    session: Connection,
    query: LiteralString | Composed,
    types: Mapping[str, str],
    partition: Partition,
    from_us: int,
    to_us: int,
    unit_us: int,
) -> Iterator[Rows]:
    """Yield what a query finds of a partition in a time, slice by slice."""

    def read(from_us: int, to_us: int, most: int) -> Rows:
        between = timestamp(from_us), timestamp(to_us)
        return read_rows(session, query, (partition.topic, partition.number, *between, most), **types)

    return read_sliced(read, from_us, to_us, unit_us)


def decode_points(encoded: Rows) -> Points:
    """Return readings of ``series_id, ts, value, quality``, in order of series, then time."""
    points = Points(
        _native(encoded["series_id"]),
        _from_postgres(encoded["ts"]),
        _native(encoded["value"]),
        _native(encoded["quality"]),
    )
    return points.take(series_time_order(points.series_id, points.time_us))


def _to_postgres(time_us: Int64) -> Int64:
    """Return microseconds since 1970 as PostgreSQL counts; its -infinity is the same number as ours."""
    return np.where(time_us == NEVER_US, NEVER_US, time_us - POSTGRES_EPOCH_US)


def _from_postgres(encoded: npt.NDArray[Any]) -> Int64:
    time_us = encoded.astype(np.int64)
    return np.where(time_us == NEVER_US, NEVER_US, time_us + POSTGRES_EPOCH_US)


def _native(encoded: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return encoded.astype(encoded.dtype.newbyteorder("="))
