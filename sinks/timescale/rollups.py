"""Closed buckets as rows of the database: written once, read to go on from, computed again where dirty.

Tables ``rollup_closed_1m`` and so on, one for each level, so that each is kept for as long as it is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, LiteralString, NamedTuple

import numpy as np
import numpy.typing as npt

from sinks.protocols import Partition
from sinks.timescale.copy import POSTGRES_EPOCH_US, Rows, copy_rows, layout, read_rows
from sinks.timescale.session import Connection
from sinks.timescale.times import timestamp
from streams.core.aggregate import Aggregates
from streams.core.batch import NEVER_US, Int64, Points
from streams.core.deduplicate import series_time_order
from streams.core.rollup import LEVELS_US, Closing, Rollups, begin_us

MOST_POINTS = 2**31 - 1


class Level(NamedTuple):
    """One level: its name, how wide its buckets are, and its table."""

    name: str
    width_us: int
    table: LiteralString


LEVELS = tuple(
    Level(name, width_us, table)
    for name, width_us, table in zip(
        ("1m", "15m", "1h", "1d"),
        LEVELS_US,
        ("rollup_closed_1m", "rollup_closed_15m", "rollup_closed_1h", "rollup_closed_1d"),
        strict=True,
    )
)

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
COLUMNS: LiteralString = (
    "series_id, bucket, readings, bad, sum, min, max, first, first_at, last, last_at, m2, increase, integral"
)
"""In the order of :class:`~streams.core.aggregate.Aggregates`."""

ROW = layout(**TYPES)
_TIMES = ("bucket", "first_at", "last_at")
POINT_TYPES = {"series_id": ">i4", "ts": ">i8", "value": ">f8", "quality": ">i2"}

_RELEASED: LiteralString = "SELECT series_id, ts, value, quality FROM unreleased_readings(%s, %s, %s, %s, %s)"
_BELOW: LiteralString = """
    SELECT {columns} FROM {table} AS r
    JOIN series AS s USING (series_id)
    WHERE s.home_topic = %s AND s.home_partition = %s AND r.bucket >= %s AND r.bucket < %s
"""


def of_table(table: LiteralString) -> LiteralString:
    """Return ``COLUMNS``, each with the name of a table before it."""
    return f"{table}." + COLUMNS.replace(", ", f", {table}.")


def encode_rollups(rows: Aggregates) -> Rows:
    """Return rows for COPY into the columns ``COLUMNS``."""
    encoded = np.repeat(ROW, len(rows.readings))
    for name, column in zip(TYPES, rows, strict=True):
        encoded[name] = column
    for name, time_us in zip(_TIMES, (rows.bucket_us, rows.first_us, rows.last_us), strict=True):
        encoded[name] = _to_postgres(time_us)
    return encoded


def decode_rollups(encoded: Rows) -> Aggregates:
    """Return rows of the columns ``COLUMNS``, by series, then bucket."""
    rows = Aggregates._make(
        _from_postgres(encoded[name]) if name in _TIMES else _native(encoded[name]) for name in TYPES
    )
    return rows.take(series_time_order(rows.series_id, rows.bucket_us))


def copy_closed(session: Connection, closings: Sequence[Closing]) -> None:
    """Store the buckets that a flush closes, of each level; no two of ``closings`` share a series."""
    for number, level in enumerate(LEVELS):
        rows = Aggregates.concat([closing.closed[number] for closing in closings])
        copy_rows(session, f"{level.table} ({COLUMNS})", encode_rollups(rows))


def load_rollups(session: Connection, partition: Partition, released_us: int) -> Rollups:
    """Return the open buckets of a partition, of which all before ``released_us`` was released."""
    if released_us == NEVER_US:
        return Rollups(LEVELS_US)
    name = (partition.topic, partition.number)
    since_us = begin_us(released_us, LEVELS_US[0])
    between = timestamp(since_us), timestamp(released_us)
    points = decode_points(read_rows(session, _RELEASED, (*name, *between, MOST_POINTS), **POINT_TYPES))
    rows = [
        _below(session, name, below, begin_us(released_us, above.width_us), since_us)
        for below, above in pairwise(LEVELS)
    ]
    return Rollups(LEVELS_US, points, rows)


def decode_points(encoded: Rows) -> Points:
    """Return readings of ``series_id, ts, value, quality``, in order of series, then time."""
    points = Points(
        _native(encoded["series_id"]),
        _from_postgres(encoded["ts"]),
        _native(encoded["value"]),
        _native(encoded["quality"]),
    )
    return points.take(series_time_order(points.series_id, points.time_us))


def _below(session: Connection, name: tuple[str, int], level: Level, from_us: int, to_us: int) -> Aggregates:
    query = _BELOW.format(columns=of_table("r"), table=level.table)
    return decode_rollups(read_rows(session, query, (*name, timestamp(from_us), timestamp(to_us)), **TYPES))


def _to_postgres(time_us: Int64) -> Int64:
    """Return microseconds since 1970 as PostgreSQL counts; its -infinity is the same number as ours."""
    return np.where(time_us == NEVER_US, NEVER_US, time_us - POSTGRES_EPOCH_US)


def _from_postgres(encoded: npt.NDArray[Any]) -> Int64:
    time_us = encoded.astype(np.int64)
    return np.where(time_us == NEVER_US, NEVER_US, time_us + POSTGRES_EPOCH_US)


def _native(encoded: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return encoded.astype(encoded.dtype.newbyteorder("="))
