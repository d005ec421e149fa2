"""Readings of a chunk as the archive takes them: by series and time, in slices that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, LiteralString, NamedTuple

import numpy as np
import psycopg

from jobs.archive.parquet import READING, Readings
from sinks.timescale.copy import POSTGRES_EPOCH_US, Rows, read_rows
from sinks.timescale.slices import MOST_ROWS, read_sliced
from sinks.timescale.times import timestamp
from streams.core.deduplicate import series_time_order

Connection = psycopg.Connection[tuple[Any, ...]]

_TYPES = {"series_id": ">i4", "ts": ">i8", "value": ">f8", "quality": ">i2", "late": "?"}
_READINGS: LiteralString = """
    SELECT series_id, ts, value, quality, late FROM readings
    WHERE series_id = ANY (%s) AND ts >= %s AND ts < %s LIMIT %s
"""
_CHUNKS = """
    SELECT (extract(epoch FROM range_start) * 1000000)::bigint,
           (extract(epoch FROM range_end) * 1000000)::bigint
    FROM timescaledb_information.chunks
    WHERE hypertable_schema = 'public' AND hypertable_name = %s ORDER BY range_start
"""


class Chunk(NamedTuple):
    """The event times ``[begins, ends)`` of a chunk."""

    begins_us: int
    ends_us: int

    def __str__(self) -> str:
        begins, ends = timestamp(self.begins_us), timestamp(self.ends_us)
        return f"{begins:%F}" if (ends - begins).days == 1 else f"{begins:%F %R} to {ends:%F %R}"


def list_chunks(session: Connection, table: str = "readings") -> list[Chunk]:
    """Return the chunks of a table, the earliest first."""
    return [Chunk(*bounds) for bounds in session.execute(_CHUNKS, (table,))]


def read_chunk(session: Connection, chunk: Chunk, counts: Mapping[int, int]) -> Iterator[Readings]:
    """Yield the readings that some series have in a chunk, by series, then time. ``counts`` are how many."""
    for series in groups(counts, MOST_ROWS):

        def read(from_us: int, to_us: int, most: int, series: list[int] = series) -> Rows:
            asked = (series, timestamp(from_us), timestamp(to_us), most)
            return read_rows(session, _READINGS, asked, **_TYPES)

        for rows in read_sliced(read, chunk.begins_us, chunk.ends_us, chunk.ends_us - chunk.begins_us):
            yield _sorted(rows)


def groups(counts: Mapping[int, int], most: int) -> Iterator[list[int]]:
    """Yield the series in order, in groups that have ``most`` readings together, or one that has more.

    >>> list(groups({1: 2, 2: 2, 3: 9, 4: 1}, most=4))
    [[1, 2], [3], [4]]
    """
    group: list[int] = []
    held = 0
    for series_id, count in sorted(counts.items()):
        if group and held + count > most:
            yield group
            group, held = [], 0
        group.append(series_id)
        held += count
    if group:
        yield group


def slices(chunk: Chunk, counts: Mapping[int, int], most: int) -> Iterator[tuple[list[int], Chunk]]:
    """Yield series and times of about ``most`` readings at once."""
    for series in groups(counts, most):
        pieces = max(1, -(-sum(counts[each] for each in series) // most))
        edges = np.linspace(chunk.begins_us, chunk.ends_us, pieces + 1).astype(np.int64).tolist()
        for begins_us, ends_us in pairwise(edges):
            yield series, Chunk(begins_us, ends_us)


def _sorted(rows: Rows) -> Readings:
    readings = np.empty(len(rows), READING)
    readings["time_us"] = rows["ts"] + POSTGRES_EPOCH_US
    for name in ("series_id", "value", "quality", "late"):
        readings[name] = rows[name]
    return readings[series_time_order(readings["series_id"], readings["time_us"])]
