"""Drops rollups that are older than their policy keeps them, and whose readings are given up.

Forecasts are dropped with the rollups that they are about, and anomalies with those of their time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from psycopg.sql import SQL, Identifier

from jobs.archive.chunks import Connection
from jobs.retention.dropping import Turn
from sinks.timescale.rollups import read_levels

SERIES_AT_ONCE = 200
DAY = timedelta(days=1)
OTHERS = {"forecasts": "bucket", "rollup_sketches": "bucket", "anomalies": "started_at"}
"""Tables that are kept as long, and the column of each by which they are."""

CALLED = {"rollup_sketches": "quantiles"}

# No dirty bucket is older than a hold, and none is made before what is given up.
_LIMIT = """
    SELECT least((SELECT kept_from FROM raw_retention), (SELECT min(kept_from) FROM retention_holds))
"""
_WANTED = f"""
    SELECT CASE WHEN bool_or(tenant = '*' AND metric = '*') AND count(*) = count(rollup_days)
    THEN nullif(least(
        date_bin('1 day', %(now)s::timestamptz - make_interval(days => max(rollup_days)), 'epoch'), ({_LIMIT})
    ), '-infinity') END FROM retention_policies
"""
_WANTED_OF_SOME = """
    SELECT w.rollups_from, coalesce(r.rollups_from, '-infinity')::text,
           array_agg(p.series_id ORDER BY p.series_id)
    FROM series_policies AS p
    LEFT JOIN series_retention AS r USING (series_id)
    CROSS JOIN LATERAL (SELECT least(
        date_bin('1 day', %(now)s::timestamptz - make_interval(days => p.rollup_days), 'epoch'),
        readings_kept_from(p.series_id), (SELECT min(kept_from) FROM retention_holds)
    ) AS rollups_from) AS w
    WHERE p.rollup_days IS NOT NULL AND isfinite(w.rollups_from)
      AND w.rollups_from > coalesce(%(everywhere)s::timestamptz, '-infinity')
      AND w.rollups_from > coalesce(r.rollups_from, '-infinity')
    GROUP BY 1, 2
"""
_OLDEST = SQL("SELECT date_bin('1 day', min({at}), 'epoch') FROM {table} WHERE {at} >= %s::timestamptz")
_DROP = "SELECT count(*) FROM drop_chunks(%s::regclass, older_than => %s::timestamptz)"
_DELETE = SQL("DELETE FROM {table} WHERE series_id = ANY (%s) AND {at} >= %s AND {at} < %s")
_FORGET_GROUPS = """
    DELETE FROM group_blocks AS b
    WHERE b.begins < %(until)s AND (%(series)s::int[] IS NULL OR (b.tenant, b.metric) IN (
        SELECT tenant, metric FROM series WHERE series_id = ANY (%(series)s)
    ))
"""
_DONE = """
    INSERT INTO series_retention AS r (series_id, kept_from, rollups_from)
    SELECT s, date_bin('1 day', readings_kept_from(s), 'epoch'), %(until)s FROM unnest(%(series)s::int[]) AS s
    ON CONFLICT (series_id) DO UPDATE SET rollups_from = excluded.rollups_from
"""


class Dropped(NamedTuple):
    """What was dropped of a level: chunks, or rows of series that are kept for less time than others.

    Of quantiles, forecasts and anomalies it is of all at once: they are in one table each.
    """

    level: str
    chunks: int = 0
    rows: int = 0


def drop_rollups(session: Connection, now: datetime, turn: Turn) -> Iterator[Dropped]:
    """Drop what policies do not keep, level by level from the lowest on. Raises Held.

    A wider level is never gone where a narrower one is there: nothing is computed from what is left.
    """
    ((everywhere,),) = session.execute(_WANTED, {"now": now}).fetchall()
    others = ((CALLED.get(table, table), table) for table in OTHERS)
    tables = [*others, *((level.name, level.table) for level in read_levels(session))]
    if everywhere is not None:
        for level, table in tables:
            yield Dropped(level, chunks=_drop_chunks(session, table, everywhere, turn))
        session.execute(_FORGET_GROUPS, {"series": None, "until": everywhere})
    of_some = session.execute(_WANTED_OF_SOME, {"now": now, "everywhere": everywhere}).fetchall()
    for until, since, series in of_some:
        for start in range(0, len(series), SERIES_AT_ONCE):
            some = series[start : start + SERIES_AT_ONCE]
            for level, table in tables:
                yield Dropped(level, rows=_delete(session, table, some, since, until))
            session.execute(_FORGET_GROUPS, {"series": some, "until": until})
            session.execute(_DONE, {"series": some, "until": until})


def _drop_chunks(session: Connection, table: str, until: datetime, turn: Turn) -> int:
    with session.transaction():
        turn.take(table)
        ((chunks,),) = session.execute(_DROP, (table, until)).fetchall()
    return int(chunks)


def _delete(session: Connection, table: str, series: list[int], since: str, until: datetime) -> int:
    """Delete day by day: no day of a level is gone in part."""
    rows, names = 0, {"table": Identifier(table), "at": Identifier(OTHERS.get(table, "bucket"))}
    ((day,),) = session.execute(_OLDEST.format(**names), (since,)).fetchall()
    while day is not None and day < until:
        deleted = session.execute(_DELETE.format(**names), (series, day, day + DAY))
        rows, day = rows + deleted.rowcount, day + DAY
    return rows
