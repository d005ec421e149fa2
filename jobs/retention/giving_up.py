"""Says of which days readings are not kept any more, before any of them is dropped.

From then on a worker refuses such readings, and no rollup is computed from what is left of them.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from psycopg import errors

from jobs.archive.chunks import Chunk, Connection
from sinks.timescale.times import timestamp
from streams.errors import UserError

LOCK_WAIT = "10s"

# A flush holds it from its compare-and-swap to its commit: whatever it marked is seen below.
_CLOSE = "LOCK TABLE progress IN EXCLUSIVE MODE"
_HOLDS = """
    SELECT CASE WHEN isfinite(kept_from) THEN kept_from END, reason
    FROM retention_holds ORDER BY retention_holds.kept_from, reason
"""
_LIMIT = "SELECT coalesce(min(kept_from), 'infinity')::text FROM retention_holds"
_WANTED = """
    SELECT CASE WHEN bool_or(tenant = '*' AND metric = '*') AND count(*) = count(raw_days)
           THEN date_bin('1 day', %(now)s::timestamptz - make_interval(days => max(raw_days)), 'epoch') END
    FROM retention_policies
"""
_RAISE = """
    UPDATE raw_retention SET kept_from = least(%(wanted)s::timestamptz, %(limit)s::timestamptz)
    WHERE kept_from < least(%(wanted)s::timestamptz, %(limit)s::timestamptz)
"""
# Before the lock: there may be many series.
_WANTED_OF_SOME = """
    CREATE TEMP TABLE wanted_of_some ON COMMIT DROP AS
    SELECT p.series_id, w.kept_from
    FROM series_policies AS p
    CROSS JOIN LATERAL (
        SELECT date_bin('1 day', %(now)s::timestamptz - make_interval(days => p.raw_days), 'epoch')
            AS kept_from
    ) AS w
    WHERE p.raw_days IS NOT NULL AND w.kept_from > coalesce(%(wanted)s::timestamptz, '-infinity')
"""
_RAISE_SOME = """
    WITH raised AS (
        INSERT INTO series_retention AS r (series_id, kept_from)
        SELECT series_id, least(kept_from, %(limit)s::timestamptz) FROM wanted_of_some
        WHERE least(kept_from, %(limit)s::timestamptz) > (SELECT kept_from FROM raw_retention)
        ON CONFLICT (series_id) DO UPDATE SET kept_from = excluded.kept_from
        WHERE r.kept_from < excluded.kept_from
        RETURNING series_id
    )
    SELECT coalesce(array_agg(series_id), '{}') FROM raised
"""
_BEYOND = """
    SELECT greatest(
        (SELECT %(wanted)s::timestamptz FROM raw_retention WHERE kept_from < %(wanted)s::timestamptz),
        (
            SELECT max(w.kept_from) FROM wanted_of_some AS w LEFT JOIN series_retention AS s USING (series_id)
            WHERE w.kept_from > greatest(s.kept_from, (SELECT kept_from FROM raw_retention))
        )
    )
"""
_NOTE = "UPDATE raw_retention SET raised = raised + 1"
_FENCE = """
    UPDATE progress AS p SET epoch = p.epoch + 1
    FROM (
        SELECT DISTINCT home_topic, home_partition FROM series WHERE series_id = ANY (%s)
    ) AS home
    WHERE p.topic = home.home_topic AND p.partition = home.home_partition
"""
_KEPT = "SELECT CASE WHEN isfinite(kept_from) THEN kept_from END FROM raw_retention"
_KEPT_OF_SOME = """
    SELECT kept_from, array_agg(series_id ORDER BY series_id) FROM series_retention
    WHERE kept_from > (SELECT kept_from FROM raw_retention) GROUP BY kept_from
"""


class Hold(NamedTuple):
    """What needs all readings from a day on; None: all there are."""

    kept_from: datetime | None
    reason: str


class Limits(NamedTuple):
    """All holds, and from when on readings would be kept without them; None: they change nothing."""

    holds: list[Hold]
    wanted: datetime | None

    def reasons(self, chunks: list[Chunk]) -> list[str]:
        """Return why chunks are not given up, of those that ``chunks`` has and policies do not keep."""
        if self.wanted is None or not any(timestamp(chunk.ends_us) <= self.wanted for chunk in chunks):
            return []
        return [hold.reason for hold in self.holds if hold.kept_from is None or hold.kept_from < self.wanted]


class GivenUp(NamedTuple):
    """From when on the readings of all series are kept (None: all of them), and of some from later on."""

    everywhere: datetime | None
    later: list[tuple[datetime, list[int]]]

    def of(self, chunk: Chunk) -> list[int] | None:
        """Return of which series all of a chunk is given up; None stands for all series."""
        ends = timestamp(chunk.ends_us)
        if self.everywhere is not None and self.everywhere >= ends:
            return None
        return sorted(number for kept_from, series in self.later if kept_from >= ends for number in series)


def give_up(session: Connection, now: datetime, *, dry_run: bool = False) -> Limits:
    """Raise what says from when on readings are kept as far as policies and holds allow; return the limits.

    In one transaction, for which no flush is stored. Of series that are kept for less time than all others,
    the owners of their partitions claim them again. A dry run leaves the rolling back to its caller, and
    stops nobody. Raises UserError where others hold the table for too long.
    """
    try:
        with session.transaction():
            ((wanted,),) = session.execute(_WANTED, {"now": now}).fetchall()
            session.execute(_WANTED_OF_SOME, {"now": now, "wanted": wanted})
            if not dry_run:
                session.execute(f"SET LOCAL lock_timeout TO '{LOCK_WAIT}'; {_CLOSE}")
            holds = list_holds(session)
            ((limit,),) = session.execute(_LIMIT).fetchall()
            if wanted is not None:
                session.execute(_RAISE, {"wanted": wanted, "limit": limit})
            ((raised,),) = session.execute(_RAISE_SOME, {"limit": limit}).fetchall()
            ((beyond,),) = session.execute(_BEYOND, {"wanted": wanted}).fetchall()
            if raised:
                session.execute(_NOTE)
            if raised and not dry_run:
                session.execute(_FENCE, (raised,))
    except errors.LockNotAvailable as error:
        raise UserError(
            "a transaction holds the progress of the workers for too long",
            hint='Nothing was given up. See "Lag grows" in docs/runbook.md, then run it again.',
        ) from error
    return Limits(holds, beyond)


def list_holds(session: Connection) -> list[Hold]:
    """Return what keeps readings from being given up, what needs the earliest first."""
    return [Hold(*row) for row in session.execute(_HOLDS)]


def given_up(session: Connection) -> GivenUp:
    """Return what is given up."""
    ((everywhere,),) = session.execute(_KEPT).fetchall()
    return GivenUp(everywhere, session.execute(_KEPT_OF_SOME).fetchall())
