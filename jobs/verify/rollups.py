"""Holds the closed buckets of every level to the readings that they are made of.

Of days whose readings may be dropped, those of a level are held to the level below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import LiteralString

import numpy as np
import numpy.typing as npt
from psycopg.sql import SQL, Composed, Identifier

from jobs.verify.snapshot import Connection
from sinks.timescale.copy import Rows, read_rows
from sinks.timescale.history import kept_from_us, load_floors
from sinks.timescale.rollups import (
    POINT_TYPES,
    TYPES,
    Level,
    decode_points,
    decode_rollups,
    of_rows,
    read_levels,
)
from sinks.timescale.slices import Read, read_sliced
from sinks.timescale.times import timestamp
from streams.core.aggregate import Aggregates, aggregate, coarsen, merge
from streams.core.batch import NEVER_US, Bools, Int64
from streams.core.levels import DAY_US, MINUTE_US

SERIES_AT_ONCE = 1_000
"""Where the lowest level is of minutes; fewer where there are more buckets."""

HOUR_US = 60 * MINUTE_US
EXACT = ("readings", "bad", "min", "max", "first", "first_us", "last", "last_us")
NEAR = ("sum", "m2", "increase", "integral")
RELATIVE = 1e-9
CANCELLED = 1e-14
"""What additions in another order may differ by, of the largest number that was added."""

_MARKS = """
    SELECT m.series_id, (extract(epoch FROM m.released_to) * 1000000)::bigint
    FROM rollup_marks AS m JOIN series AS s USING (series_id)
    WHERE s.home_topic = %s AND isfinite(m.released_to) ORDER BY m.series_id
"""
_DAYS = SQL(
    "SELECT (extract(epoch FROM date_bin('1 day', {column}, 'epoch')) * 1000000)::bigint FROM {table}"
)
_DIRTY = """
    SELECT series_id, (extract(epoch FROM bucket) * 1000000)::bigint
    FROM dirty_buckets WHERE width_s <= %s
"""
_READINGS: LiteralString = """
    SELECT series_id, ts, value, quality FROM readings
    WHERE series_id = ANY (%s) AND ts >= %s AND ts < %s LIMIT %s
"""
_ROWS = SQL(
    "SELECT {columns} FROM {table} AS r WHERE series_id = ANY (%s) AND bucket >= %s AND bucket < %s LIMIT %s"
)
_UNMARKED = """
    SELECT coalesce((extract(epoch FROM max(unmarked_before)) * 1000000)::bigint, %s)
    FROM rollup_levels WHERE width_s <= %s
"""
_FAULT = """
    INSERT INTO faults SELECT 'misrolled', series_id, timestamptz 'epoch' + us * INTERVAL '1 microsecond', %s
    FROM unnest(%s::int[], %s::bigint[]) AS wrong (series_id, us)
"""


def compare_rollups(session: Connection, topic: str) -> None:
    """Note the closed buckets that are not what the readings make, unless they are marked, or are yet to be.

    Of days whose readings may be dropped: those that are not what the level below makes.
    """
    marks = np.array(session.execute(_MARKS, (topic,)).fetchall(), np.int64).reshape(-1, 2)
    levels = read_levels(session)
    dirty = [
        np.array(session.execute(_DIRTY, (level.width_us // 1_000_000,)).fetchall(), np.int64).reshape(-1, 2)
        for level in levels
    ]
    unmarked = [
        session.execute(_UNMARKED, (NEVER_US, level.width_us // 1_000_000)).fetchall()[0][0]
        for level in levels
    ]
    since_us, floors = kept_from_us(session), load_floors(session)
    at_once = max(1, SERIES_AT_ONCE * min(levels[0].width_us, MINUTE_US) // MINUTE_US)

    def note(some: Int64, rows: Sequence[Aggregates], wanted: Sequence[Aggregates]) -> None:
        for level, stored, made, pending, before_us in zip(
            levels, rows, wanted, dirty, unmarked, strict=True
        ):
            wrong = differing(stored, _closed(made, level, some))
            wrong = wrong[wrong[:, 1] >= before_us]
            _note(session, level, wrong[~is_marked(wrong, pending, level)])

    for day_us in _days(session, levels):
        days = np.full(len(marks), day_us)
        kept = (days >= since_us) & ~floors.are_above(marks[:, 0].astype(np.int32), days)
        for some in _groups(marks[kept], at_once):
            rows = [_stored(session, level, some, day_us) for level in levels]
            note(some, rows, _made(session, levels, some, day_us))
        for some in _groups(marks[~kept], at_once):
            rows = [_stored(session, level, some, day_us) for level in levels]
            wanted = [rows[0], *map(coarsen, rows, [level.width_us for level in levels[1:]])]
            # The level below may be younger than the readings that were dropped.
            note(some, list(map(_shared, rows, wanted)), wanted)


def _groups(marks: Int64, at_once: int) -> Iterator[Int64]:
    """Yield so many series at once."""
    for start in range(0, len(marks), at_once):
        yield marks[start : start + at_once]


def _stored(session: Connection, level: Level, marks: Int64, day_us: int) -> Aggregates:
    """Return the closed rows that some series have of a day."""
    read = _reader(session, of_rows(_ROWS, level), TYPES, marks)
    return merge(
        [decode_rollups(part) for part in read_sliced(read, day_us, day_us + DAY_US, level.width_us)]
    )


def _made(session: Connection, levels: Sequence[Level], marks: Int64, day_us: int) -> list[Aggregates]:
    """Return what the readings that some series have of a day make, level by level."""
    read = _reader(session, _READINGS, POINT_TYPES, marks)
    parts: list[list[Aggregates]] = [[] for _ in levels]
    for rows in read_sliced(read, day_us, day_us + DAY_US, HOUR_US):
        points = decode_points(rows)
        for level, made in zip(levels, parts, strict=True):
            made.append(aggregate(points, level.width_us))
    return list(map(merge, parts))


def _reader(
    session: Connection, query: LiteralString | Composed, types: Mapping[str, str], marks: Int64
) -> Read:
    series = marks[:, 0].tolist()

    def read(from_us: int, to_us: int, most: int) -> Rows:
        return read_rows(session, query, (series, timestamp(from_us), timestamp(to_us), most), **types)

    return read


def _shared(rows: Aggregates, others: Aggregates) -> Aggregates:
    """Return the rows whose buckets are among those of ``others``."""
    return rows.take(_among(_keys(rows), _keys(others)))


def _closed(rows: Aggregates, level: Level, marks: Int64) -> Aggregates:
    """Return the rows that are closed by the marks of their series."""
    closed_to_us = marks[np.searchsorted(marks[:, 0], rows.series_id), 1]
    return rows.take(rows.bucket_us + level.width_us <= closed_to_us)


def differing(stored: Aggregates, wanted: Aggregates) -> Int64:
    """Return series and bucket of the rows that only one of both has, or that are not the same."""
    keys, others = _keys(stored), _keys(wanted)
    both, extra, lacking = _among(keys, others), ~_among(keys, others), ~_among(others, keys)
    mine, theirs = stored.take(both), wanted.take(~lacking)
    wrong = np.zeros(len(mine.readings), bool)
    for name in EXACT:
        one, other = getattr(mine, name), getattr(theirs, name)
        wrong |= (one != other) & ~((one != one) & (other != other))
    largest = np.nan_to_num(np.maximum(np.abs(theirs.min), np.abs(theirs.max)))
    seconds = (theirs.last_us - theirs.first_us) * 1e-6
    for name, scale in zip(NEAR, (largest, largest**2, largest, largest * seconds), strict=True):
        one, other = getattr(mine, name), getattr(theirs, name)
        wrong |= ~(np.abs(one - other) <= RELATIVE * np.abs(other) + CANCELLED * theirs.readings * scale)
    return np.concatenate([keys[extra], others[lacking], keys[both][wrong]])


def _days(session: Connection, levels: Sequence[Level]) -> list[int]:
    """Return where the days begin that have readings or closed buckets."""
    places = [("ts", "readings"), *(("bucket", level.table) for level in levels)]
    days = [_DAYS.format(column=Identifier(column), table=Identifier(table)) for column, table in places]
    return sorted(day_us for (day_us,) in session.execute(SQL(" UNION ").join(days)))


def is_marked(buckets: Int64, marks: Int64, level: Level) -> Bools:
    """Tell which buckets of a level are marked, each a series and a time. A mark is of a minute at least."""
    width_us = max(level.width_us, MINUTE_US)
    begins, marked = (
        np.stack([keys[:, 0], keys[:, 1] // width_us * width_us], axis=1) for keys in (buckets, marks)
    )
    return _among(begins, marked)


def _keys(rows: Aggregates) -> Int64:
    return np.stack([rows.series_id.astype(np.int64), rows.bucket_us], axis=1)


def _among(keys: Int64, others: Int64) -> Bools:
    return np.isin(_as_one(keys), _as_one(others))


def _as_one(keys: Int64) -> npt.NDArray[np.void]:
    return np.ascontiguousarray(keys).view([("series_id", np.int64), ("bucket_us", np.int64)]).ravel()


def _note(session: Connection, level: Level, wrong: Int64) -> None:
    if len(wrong):
        said = f"a bucket of {level.name} is not what its readings, or narrower buckets, make"
        session.execute(_FAULT, (said, wrong[:, 0].tolist(), wrong[:, 1].tolist()))
