"""Compares what must be stored with what is, in the database, which sorts on disk what memory cannot hold."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

import numpy as np

from jobs.verify.oracle import Row
from jobs.verify.rollups import compare_rollups
from jobs.verify.sketches import compare_sketches
from jobs.verify.snapshot import Connection
from sinks.timescale.copy import copy_rows, encode_buckets, encode_readings

ROWS_AT_ONCE = 50_000

_EXPECTED = "expected (ts, value, series_id, quality, late)"
_EXPECTED_DIRTY = "expected_dirty (bucket, series_id)"
_HANDED_OVER = "handed_over (ts, value, series_id, quality, late)"

_ANALYZE = "ANALYZE expected; ANALYZE expected_dirty; ANALYZE handed_over"

# A series without a home, or a number without a series, may be of any topic: such rows are looked at.
_COMPARE = """
    WITH stored AS (
        SELECT r.series_id, r.ts, count(*) AS copies,
               min(r.value) AS low, max(r.value) AS high, min(r.quality) AS best, max(r.quality) AS worst,
               bool_and(r.late) AS late, bool_or(r.late) AS anyhow_late,
               min(s.home_partition) AS home
        FROM readings AS r LEFT JOIN series AS s USING (series_id)
        WHERE s.home_topic = %(topic)s OR s.home_topic IS NULL
        GROUP BY r.series_id, r.ts
    )
    INSERT INTO faults
    SELECT fault.kind, coalesce(s.series_id, e.series_id), coalesce(s.ts, e.ts), fault.detail
    FROM expected AS e FULL OUTER JOIN stored AS s ON s.series_id = e.series_id AND s.ts = e.ts
    CROSS JOIN LATERAL (VALUES
        ('missing', s.copies IS NULL AND e.ts >= readings_kept_from(e.series_id),
         format('value %%s, quality %%s', e.value, e.quality)),
        ('doubled', s.copies > 1, format('%%s rows', s.copies)),
        ('altered',
         e.ts IS NOT NULL AND s.ts IS NOT NULL
         AND (s.low, s.high, s.best, s.worst) IS DISTINCT FROM (e.value, e.value, e.quality, e.quality),
         format('value %%s to %%s, quality %%s to %%s; by the log %%s, %%s',
                s.low, s.high, s.best, s.worst, e.value, e.quality)),
        ('misflagged',
         e.ts IS NOT NULL AND s.ts IS NOT NULL AND (s.home = ANY (%(cut)s::int[])) IS NOT TRUE
         AND (s.late, s.anyhow_late) IS DISTINCT FROM (e.late, e.late),
         format('late %%s, by the log %%s', s.anyhow_late, e.late)),
        ('unexplained', e.ts IS NULL AND (s.home = ANY (%(cut)s::int[])) IS NOT TRUE,
         format('value %%s, quality %%s', s.low, s.best)),
        ('beyond_log', e.ts IS NULL AND s.home = ANY (%(cut)s::int[]),
         format('value %%s, quality %%s', s.low, s.best))
    ) AS fault (kind, is_so, detail)
    WHERE fault.is_so
"""
_COMPARE_HANDED_OVER = """
    INSERT INTO faults
    SELECT DISTINCT CASE WHEN s.home_partition = ANY (%(behind)s::int[]) THEN 'in_flight'
                         WHEN s.home_partition = ANY (%(skipped)s::int[]) THEN 'beyond_log'
                         ELSE 'missing' END,
           h.series_id, h.ts, 'forwarded, and not in the log of its home'
    FROM handed_over AS h JOIN series AS s USING (series_id)
    WHERE h.ts >= readings_kept_from(h.series_id)
      AND NOT EXISTS (SELECT FROM expected AS e WHERE e.series_id = h.series_id AND e.ts = h.ts)
      AND NOT (s.home_partition = ANY (%(cut)s::int[])
               AND EXISTS (SELECT FROM readings AS r WHERE r.series_id = h.series_id AND r.ts = h.ts))
"""
# Where it is closed, the mark may have done its work.
_COMPARE_DIRTY = """
    INSERT INTO faults
    SELECT 'unmarked', e.series_id, e.bucket, 'late readings of this minute have no mark in dirty_buckets'
    FROM expected_dirty AS e
    LEFT JOIN series AS s USING (series_id)
    LEFT JOIN rollup_marks AS m USING (series_id)
    WHERE (e.bucket + INTERVAL '1 minute' <= m.released_to) IS NOT TRUE
      AND (s.home_partition = ANY (%(cut)s::int[])) IS NOT TRUE
      AND NOT EXISTS (SELECT FROM dirty_buckets AS d WHERE d.series_id = e.series_id AND d.bucket = e.bucket
                      AND d.width_s = 0)
"""
_COUNT = "SELECT kind, count(*) FROM faults GROUP BY kind"
_EXAMPLES = """
    SELECT s.tenant, s.source, s.metric, f.series_id, f.ts::text, f.detail
    FROM faults AS f LEFT JOIN series AS s USING (series_id)
    WHERE f.kind = %s ORDER BY f.series_id, f.ts LIMIT %s
"""


class Kind(StrEnum):
    """What can be said of a reading that is not as the log says, or of which the log does not say.

    ``misflagged``: its flag ``late`` is wrong. ``unmarked`` is said of an open minute of a series:
    something late fell into it, and nobody is told to compute it again; ``misrolled`` of a closed bucket
    that is not what its readings make, and is not marked; ``misdetected`` of an episode that is not what
    its readings make, or is missing, or never was. ``beyond_log``: it may be of the part of the log that
    is gone. ``in_flight``: it is forwarded, and still in the outbox or not yet stored by its home. These
    two are no faults. The last three are found by ledgers: lost is what was acknowledged, and is neither
    stored nor refused; unledgered is stored and in no ledger; untrue is stored otherwise than any ledger
    says, or than the latest revision says.
    """

    MISSING = "missing"
    DOUBLED = "doubled"
    ALTERED = "altered"
    UNEXPLAINED = "unexplained"
    MISFLAGGED = "misflagged"
    UNMARKED = "unmarked"
    MISROLLED = "misrolled"
    MISDETECTED = "misdetected"
    BEYOND_LOG = "beyond_log"
    IN_FLIGHT = "in_flight"
    LOST = "lost"
    UNLEDGERED = "unledgered"
    UNTRUE = "untrue"


FAULTS = (
    Kind.MISSING,
    Kind.DOUBLED,
    Kind.ALTERED,
    Kind.UNEXPLAINED,
    Kind.MISFLAGGED,
    Kind.UNMARKED,
    Kind.MISROLLED,
    Kind.MISDETECTED,
)
FOUND_BY_THE_LOG = (*FAULTS, Kind.BEYOND_LOG, Kind.IN_FLIGHT)


class Example(NamedTuple):
    """A reading that is not as the log says. It has no names where no series has its number."""

    tenant: str | None
    source: str | None
    metric: str | None
    series_id: int
    ts: str
    detail: str


def copy_expected(session: Connection, rows: Iterable[Row]) -> None:
    """Add readings that must be stored."""
    _copy(session, _EXPECTED, rows)


def copy_expected_dirty(session: Connection, minutes: Iterable[tuple[int, int]]) -> None:
    """Add minutes that must be marked: series, and begin in microseconds since 1970."""
    series_id, bucket_us = np.array(list(minutes), np.int64).reshape(-1, 2).T
    copy_rows(session, _EXPECTED_DIRTY, encode_buckets(series_id.astype(np.int32), bucket_us))


def copy_handed_over(session: Connection, rows: Iterable[Row]) -> None:
    """Add readings that were forwarded, and so must be in the log of their home."""
    _copy(session, _HANDED_OVER, rows)


def find_faults(
    session: Connection, topic: str, cut: Collection[int], behind: Collection[int], skipped: Collection[int]
) -> dict[Kind, int]:
    """Compare, and return how many readings there are of each kind.

    ``cut`` are the partitions of which the log has lost its beginning, ``behind`` those whose log
    may get, or has, readings that are not looked at, ``skipped`` those of which somebody decided to
    leave something out: forwarded readings may have been among it.
    """
    arguments = {"topic": topic, "cut": list(cut), "behind": list(behind), "skipped": list(skipped)}
    session.execute(_ANALYZE)
    session.execute(_COMPARE, arguments)
    session.execute(_COMPARE_DIRTY, arguments)
    session.execute(_COMPARE_HANDED_OVER, arguments)
    compare_rollups(session, topic)
    compare_sketches(session, topic)
    found: dict[str, int] = dict(session.execute(_COUNT).fetchall())
    return {kind: found.get(kind.value, 0) for kind in FOUND_BY_THE_LOG}


def find_examples(session: Connection, kind: Kind, limit: int) -> list[Example]:
    """Return some of the readings of one kind."""
    return [Example(*row) for row in session.execute(_EXAMPLES, (kind.value, limit))]


def _copy(session: Connection, table: str, rows: Iterable[Row]) -> None:
    source = iter(rows)
    while some := list(islice(source, ROWS_AT_ONCE)):
        series_id, time_us, value_bits, quality, late = zip(*some, strict=True)
        encoded = encode_readings(
            np.array(series_id, np.int32),
            np.array(time_us, np.int64),
            np.array(value_bits, np.int64).view(np.float64),
            np.array(quality, np.int16),
            np.array(late, bool),
        )
        copy_rows(session, table, encoded)
