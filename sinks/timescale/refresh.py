"""Computes dirty buckets again, from readings or from the level below, and marks what they are a part of.

It takes only buckets that are closed, which no flush writes any more; marks are appended by flushes and
removed here; and one session at a time does it. So neither waits for the other, unless both create a
chunk of the same level: the second one waits until the first has committed.
Of days whose readings may be dropped nothing is computed from readings: their buckets stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import count
from typing import LiteralString, NamedTuple

import numpy as np
from psycopg import Rollback
from psycopg.sql import SQL

from sinks.timescale.copy import POSTGRES_EPOCH_US, Rows, copy_rows, layout, read_rows
from sinks.timescale.derived import mark_inputs
from sinks.timescale.history import kept_from_us, load_floors, raised
from sinks.timescale.rollup_messages import NOTHING_TOLD, Told, tell
from sinks.timescale.rollups import (
    POINT_TYPES,
    REVISION,
    TYPES,
    Level,
    copy_rollups,
    decode_points,
    decode_rollups,
    of_rows,
    read_levels,
)
from sinks.timescale.session import Connection
from sinks.timescale.slices import read_sliced
from sinks.timescale.times import timestamp
from streams.core.aggregate import Aggregates, aggregate, coarsen, merge
from streams.core.batch import NEVER_US, Bools, Int32, Int64
from streams.core.deduplicate import series_time_order
from streams.core.levels import MINUTE_US

BATCH = 100_000
"""Most marks that are taken in one transaction."""

OF_READINGS_S = 0
"""Width of the marks of minutes that a reading fell into."""

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('streamgauge rollups'))"
_MARK_HISTORY = "SELECT mark_rollup_history()"
# Of marks and rows that come and go the planner knows little. Marks are read in the order of their index, and
# rows span by span: else it would sort all marks for each batch, or read all that a level has of these days.
_PREPARE = """
    SET jit TO off;
    SET enable_bitmapscan TO off;
    SET enable_sort TO off;
    SET enable_hashjoin TO off;
    SET enable_mergejoin TO off;
    CREATE TEMP TABLE IF NOT EXISTS dirty_now (
        series_id integer, begins timestamptz, ends timestamptz
    ) ON COMMIT DELETE ROWS
"""
# Rows are found by where they are: nobody moves them, and a join would read all marks for each batch.
_TAKE: LiteralString = """
    WITH taken AS (
        DELETE FROM dirty_buckets
        WHERE ctid = ANY (ARRAY(
            SELECT d.ctid
            FROM dirty_buckets AS d
            JOIN rollup_marks AS m USING (series_id)
            WHERE d.width_s = %(width_s)s
              AND d.bucket < date_bin(%(width)s, (SELECT max(released_to) FROM progress), 'epoch')
              AND d.bucket >= coalesce(
                  (SELECT max(unmarked_before) FROM rollup_levels WHERE width_s < %(width_s)s), '-infinity'
              )
              AND date_bin(%(width)s, d.bucket, 'epoch') + %(width)s <= m.released_to
            ORDER BY d.bucket LIMIT %(most)s
        ))
        RETURNING series_id, bucket
    )
"""
_TAKEN: LiteralString = "SELECT series_id, bucket FROM taken"
_TAKEN_TYPES = {"series_id": ">i4", "bucket": ">i8"}
_SPANS = "dirty_now (series_id, begins, ends)"
_SPAN = layout(series_id=">i4", begins=">i8", ends=">i8")

# OFFSET 0 keeps the planner from reading all that a series has between the first span and the last.
_READINGS: LiteralString = """
    SELECT found.* FROM dirty_now AS dirty
    CROSS JOIN LATERAL (
        SELECT series_id, ts, value, quality FROM readings
        WHERE series_id = dirty.series_id AND ts >= dirty.begins AND ts < dirty.ends
          AND ts >= %(from)s AND ts < %(to)s
        OFFSET 0
    ) AS found
    WHERE dirty.ends > %(from)s AND dirty.begins < %(to)s
    LIMIT %(most)s
"""
_ROWS = SQL("""
    SELECT found.* FROM dirty_now AS dirty
    CROSS JOIN LATERAL (
        SELECT {columns} FROM {table} AS r
        WHERE r.series_id = dirty.series_id AND r.bucket >= dirty.begins AND r.bucket < dirty.ends
          AND r.bucket >= %(from)s AND r.bucket < %(to)s
        OFFSET 0
    ) AS found
    WHERE dirty.ends > %(from)s AND dirty.begins < %(to)s
    LIMIT %(most)s
""")
_REMOVE = SQL("""
    WITH removed AS (
        DELETE FROM {table} AS r USING dirty_now AS dirty
        WHERE r.series_id = dirty.series_id AND r.bucket >= dirty.begins AND r.bucket < dirty.ends
          AND r.bucket >= %s AND r.bucket < %s
        RETURNING {columns}
    )
""")
_REMOVED: LiteralString = "SELECT * FROM removed"
_MARKS = "dirty_buckets (bucket, series_id, width_s)"
_MARK = layout(bucket=">i8", series_id=">i4", width_s=">i4")

SERIES_AT_ONCE = 200
"""Series whose sketches are extended in one transaction, by an hour of readings at most."""

_EXTEND_SKETCHES = "SELECT extend_sketches(%s)"
_REFRESH_SKETCHES = "SELECT refresh_sketches()"
_EXTEND_GROUPS = "SELECT extend_groups()"
_FORGET_GROUPS = "SELECT forget_groups(%s)"

_STATE = """
    SELECT waiting, coalesce(extract(epoch FROM clock_timestamp() - waiting_since), 0)::float8
    FROM rollup_state
"""


class Refreshed(NamedTuple):
    """What was done at one level: how many marks are gone, and how many of its buckets changed.

    ``given_up`` of the marks are of days whose readings may be dropped.
    """

    level: str
    marks: int
    revised: int
    given_up: int = 0


class RollupState(NamedTuple):
    """How many marks of closed buckets wait, and for how long the oldest does; see ``rollup_state``."""

    waiting: int = 0
    oldest_s: float = 0.0


class Spans(NamedTuple):
    """Dirty buckets of series, adjacent ones as one span of time."""

    series_id: Int32
    begins_us: Int64
    ends_us: Int64


class Revision(NamedTuple):
    """The revision of each row that was computed, whether it is new, and which of the old rows are gone."""

    number: Int32
    is_new: Bools
    is_gone: Bools


def refresh_some(session: Connection, most: int = BATCH, told: Told = NOTHING_TOLD) -> list[Refreshed]:
    """Compute the oldest dirty buckets of each level again; return what was done.

    One transaction a level, and none for those above one where marks may be left: they are made of all of it,
    or of nothing. Then some of what was stored before a level was made is marked, sketches are stored of
    what was released, where metrics ask for quantiles, and blocks of groups. Returns nothing where
    none is left that is closed, or another session is at it, or readings are to be dropped since it began.
    """
    session.execute(_PREPARE)
    done: list[Refreshed] = []
    for number in count():
        with session.transaction():
            if not session.execute(_LOCK).fetchall()[0][0]:
                break
            levels = read_levels(session)  # which nobody changes who has not the lock
            if number >= len(levels):
                done += _mark_history(session)
                done += _extend(session, "quantiles", _EXTEND_SKETCHES, SERIES_AT_ONCE)
                done += _extend(session, "groups", _EXTEND_GROUPS)
                break
            kept = raised(session)
            below = levels[number - 1] if number else None
            some = _refresh(session, levels[number:], below, most, told)
            if raised(session) != kept:
                raise Rollback  # what was read may have been dropped meanwhile
            done += some
        if some and some[0].marks >= most:
            break
    return done


def _mark_history(session: Connection) -> list[Refreshed]:
    """Mark some of what was stored before a level was made, if there is any."""
    ((level,),) = session.execute(_MARK_HISTORY).fetchall()
    return [Refreshed(level, 0, 0)] if level else []


def _extend(session: Connection, what: str, query: LiteralString, *most: int) -> list[Refreshed]:
    """Store some of what is made of readings or rollups that were released since."""
    kept = raised(session)
    with session.transaction():
        ((made,),) = session.execute(query, most).fetchall()
        if raised(session) != kept:
            raise Rollback
    return [Refreshed(what, made, 0)] if made else []


def read_state(session: Connection) -> RollupState:
    """Return what waits to be computed again."""
    ((waiting, oldest_s),) = session.execute(_STATE).fetchall()
    return RollupState(waiting, oldest_s)


def _refresh(
    session: Connection, levels: Sequence[Level], below: Level | None, most: int, told: Told
) -> list[Refreshed]:
    """Compute dirty buckets of the first of ``levels``, and those above that are dirty from end to end.

    They are made of what was computed just now; others are marked.
    """
    level = levels[0]
    taken = _take(session, level, below, most)
    if not len(taken):
        return []
    series_id, bucket_us = taken["series_id"].astype(np.int32), taken["bucket"] + np.int64(POSTGRES_EPOCH_US)
    has_parts = _are_kept(session, series_id, bucket_us) if below is None else bucket_us > NEVER_US
    given_up = int(np.count_nonzero(~has_parts))
    if given_up == len(taken):
        return [Refreshed(level.name, given_up, 0, given_up)]
    width_us = _marked_us(level, below)
    spans = spans_of(series_id[has_parts], bucket_us[has_parts], width_us)
    _set_spans(session, spans)
    rows = _computed(session, level, below, spans)
    done = [Refreshed(level.name, len(taken), _store(session, levels, spans, rows, told), given_up)]
    if below is None:
        session.execute(_REFRESH_SKETCHES)
    for number in range(1, len(levels)):
        width_us = levels[number].width_us
        spans = whole_spans(spans, width_us)
        if not len(spans.series_id):
            break
        rows = coarsen(rows.take(is_within(spans, rows.series_id, rows.bucket_us)), width_us)
        _set_spans(session, spans)
        done.append(Refreshed(levels[number].name, 0, _store(session, levels[number:], spans, rows, told)))
    return done


def _are_kept(session: Connection, series_id: Int32, bucket_us: Int64) -> Bools:
    """Tell of which buckets all readings are there."""
    floors = load_floors(session, series_id=series_id)
    return (bucket_us >= kept_from_us(session)) & ~floors.are_above(series_id, bucket_us)


def _store(session: Connection, levels: Sequence[Level], spans: Spans, rows: Aggregates, told: Told) -> int:
    """Put rows of the first of ``levels`` into the place of what is stored of these spans.

    Returns how many are new. Of the level above those are marked that lie in no span as a whole.
    """
    level = levels[0]
    session.execute(_FORGET_GROUPS, (level.width_us // 1_000_000,))
    old, revisions = _removed(session, level, spans)
    revision = revise(rows, old, revisions)
    copy_rollups(session, level, rows, revision.number)
    changed, gone = rows.take(revision.is_new), old.take(revision.is_gone)
    mark_inputs(session, level, changed, gone)
    if levels[1:]:
        _mark(session, levels[1], spans, Aggregates.concat([changed, gone]))
    if level.name in told.levels:
        tell(session, level, changed, revision.number[revision.is_new], told.topic)
    return len(changed.readings)


def spans_of(series_id: Int32, bucket_us: Int64, width_us: int) -> Spans:
    """Return the spans of marks, which may be repeated and in any order.

    >>> spans = spans_of(np.array([7, 7, 7]), np.array([180, 0, 60]), width_us=60)
    >>> spans.begins_us.tolist(), spans.ends_us.tolist()
    ([0, 180], [120, 240])
    """
    bucket_us = bucket_us // width_us * width_us
    order = series_time_order(series_id, bucket_us)
    series_id, bucket_us = series_id[order], bucket_us[order]
    is_apart = (np.diff(series_id) != 0) | (np.diff(bucket_us) > width_us)
    starts = np.flatnonzero(np.append(True, is_apart))
    ends = np.append(starts[1:], len(order)) - 1
    return Spans(series_id[starts], bucket_us[starts], bucket_us[ends] + width_us)


def whole_spans(spans: Spans, width_us: int) -> Spans:
    """Return the part of spans that buckets of a coarser level make up, each of which lies in one as a whole.

    >>> spans = whole_spans(Spans(*(np.array([each]) for each in (7, 60, 300))), width_us=120)
    >>> spans.begins_us.tolist(), spans.ends_us.tolist()
    ([120], [240])
    """
    begins_us, ends_us = -(-spans.begins_us // width_us) * width_us, spans.ends_us // width_us * width_us
    some = begins_us < ends_us
    return Spans(spans.series_id[some], begins_us[some], ends_us[some])


def is_within(spans: Spans, series_id: Int32, time_us: Int64) -> Bools:
    """Tell which times of series lie in a span; spans are by series, then time, and so are the times."""
    found = np.zeros(len(time_us), np.bool_)
    if len(spans.series_id):
        size = len(spans.series_id)
        order = series_time_order(
            np.concatenate([spans.series_id, series_id]), np.concatenate([spans.begins_us, time_us])
        )
        last = np.maximum.accumulate(np.where(order < size, order, -1))
        asked = (order >= size) & (last >= 0)
        span, row = last[asked], order[asked] - size
        found[row] = (spans.series_id[span] == series_id[row]) & (time_us[row] < spans.ends_us[span])
    return found


def revise(rows: Aggregates, old: Aggregates, revisions: Int32) -> Revision:
    """Return which revision each of ``rows`` is, where ``old`` are stored with these ``revisions``.

    Both are by series, then bucket. What is the same bit by bit is no new revision.
    """
    size = len(revisions)
    series_id = np.concatenate([old.series_id, rows.series_id])
    bucket_us = np.concatenate([old.bucket_us, rows.bucket_us])
    order = series_time_order(series_id, bucket_us)
    again = (np.diff(series_id[order]) == 0) & (np.diff(bucket_us[order]) == 0)
    was, now = order[:-1][again], order[1:][again] - size
    same = np.ones(len(was), np.bool_)
    for before, after in zip(old[2:], rows[2:], strict=True):
        same &= before[was].view(np.int64) == after[now].view(np.int64)
    number, is_new = np.zeros(len(rows.readings), np.int32), np.ones(len(rows.readings), np.bool_)
    number[now], is_new[now] = revisions[was] + ~same, ~same
    is_gone = np.ones(size, np.bool_)
    is_gone[was] = False
    return Revision(number, is_new, is_gone)


def _marked_us(level: Level, below: Level | None) -> int:
    """Return how long the spans are that marks of a level stand for: whole buckets, and whole minutes."""
    return level.width_us if below is not None else max(level.width_us, MINUTE_US)


def _take(session: Connection, level: Level, below: Level | None, most: int) -> Rows:
    arguments = {
        "width_s": OF_READINGS_S if below is None else level.width_us // 1_000_000,
        "width": timedelta(microseconds=_marked_us(level, below)),
        "most": most,
    }
    return read_rows(session, _TAKEN, arguments, _TAKE, **_TAKEN_TYPES)


def _set_spans(session: Connection, spans: Spans) -> None:
    rows = np.repeat(_SPAN, len(spans.series_id))
    rows["series_id"] = spans.series_id
    rows["begins"], rows["ends"] = spans.begins_us - POSTGRES_EPOCH_US, spans.ends_us - POSTGRES_EPOCH_US
    session.execute("TRUNCATE dirty_now")
    copy_rows(session, _SPANS, rows)


def _computed(session: Connection, level: Level, below: Level | None, spans: Spans) -> Aggregates:
    """Return the rows of the buckets that were taken, as far as there is something to make them from."""

    def read(from_us: int, to_us: int, most: int) -> Rows:
        asked = {"from": timestamp(from_us), "to": timestamp(to_us), "most": most}
        if below is None:
            return read_rows(session, _READINGS, asked, **POINT_TYPES)
        return read_rows(session, of_rows(_ROWS, below), asked, **TYPES)

    parts = read_sliced(read, int(spans.begins_us.min()), int(spans.ends_us.max()), level.width_us)
    if below is None:
        return merge([aggregate(decode_points(part), level.width_us) for part in parts])
    return merge([coarsen(decode_rollups(part), level.width_us) for part in parts])


def _removed(session: Connection, level: Level, spans: Spans) -> tuple[Aggregates, Int32]:
    """Remove what is stored of these spans, and return it with its revisions."""
    remove = of_rows(_REMOVE, level, *REVISION)
    between = timestamp(int(spans.begins_us.min())), timestamp(int(spans.ends_us.max()))
    old = read_rows(session, _REMOVED, between, remove, **TYPES, **REVISION)
    old = old[series_time_order(old["series_id"], old["bucket"])]
    return decode_rollups(old), old["revision"].astype(np.int32)


def _mark(session: Connection, above: Level, spans: Spans, changed: Aggregates) -> None:
    """Mark the buckets that these are a part of, but for those that lie in spans as a whole."""
    bucket_us = changed.bucket_us // above.width_us * above.width_us
    keys = np.unique(np.stack([changed.series_id.astype(np.int64), bucket_us]), axis=1)
    is_done = is_within(whole_spans(spans, above.width_us), keys[0].astype(np.int32), keys[1])
    series_id, bucket_us = keys[:, ~is_done]
    rows = np.repeat(_MARK, len(series_id))
    rows["series_id"], rows["bucket"] = series_id, bucket_us - POSTGRES_EPOCH_US
    rows["width_s"] = above.width_us // 1_000_000
    copy_rows(session, _MARKS, rows)
