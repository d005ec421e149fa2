"""Derived metrics kept up to date: computed of closed buckets, and told as readings, in one transaction.

What is computed lies behind a mark, which follows the partitions that the inputs come from. What becomes
known later of a time before the mark is marked, and the whole bucket is computed again, of all nodes: what
differs from what was told is told with a higher revision. One session at a time does it, which computes
rollups.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence, Set
from typing import LiteralString, NamedTuple

from psycopg import Rollback, errors
from psycopg.sql import SQL, Identifier

from sinks.timescale.derived_results import (
    FOREVER_US,
    MAX_NAME_CHARS,
    Definition,
    compute,
    numbered,
    read_definitions,
    tell_trouble,
)
from sinks.timescale.history import raised
from sinks.timescale.outbox import copy_messages
from sinks.timescale.rollups import Level
from sinks.timescale.session import Connection
from sinks.timescale.times import moment, or_never, timestamp
from streams.core.aggregate import Aggregates
from streams.core.batch import NEVER_US
from streams.core.derived import spans_of
from streams.core.validate import EARLIEST_US

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 20_000
"""About so many rows of inputs are read in one transaction."""

MARKS_AT_ONCE = 1_000
FORGOTTEN_AT_ONCE = 20_000
PASSED_OVER_S = 60.0
"""A metric that cannot be computed is tried again so much later."""

PATIENCE_US = 300_000_000
"""A partition that is so far behind is not waited for: what it brings is computed when it comes. And so much
later is computed what is made of other derived metrics, which have to come back as readings first."""

_LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('streamgauge rollups'))"
_COME_TO = """
    SELECT concat(
        (SELECT string_agg(date_bin(%(width)s, released_to, 'epoch')::text, ' ' ORDER BY topic, partition)
         FROM progress WHERE isfinite(released_to)),
        (SELECT string_agg(computed_to::text, ' ' ORDER BY metric) FROM derived_metrics
         WHERE tenant = %(tenant)s AND metric = ANY (%(metrics)s))
    ), EXISTS (SELECT FROM derived_marks WHERE derived_id = %(id)s)
"""
# Who defines one locks the table first: it is computed when that is done, and rollups meanwhile.
_BESIDE_NOBODY = "LOCK TABLE derived_metrics IN ROW EXCLUSIVE MODE NOWAIT"
_HOLD = """
    SELECT microseconds(computed_to),
           microseconds(since), batches
    FROM derived_metrics AS d
    WHERE d.derived_id = %s AND d.removed_at IS NULL AND d.defined = %s FOR UPDATE
"""
_HOMES = """
    SELECT p.topic, p.partition, s.series, microseconds(p.released_to), microseconds(h.taken_to)
    FROM (
        SELECT home_topic AS topic, home_partition AS partition, count(*) AS series FROM series
        WHERE tenant = %(tenant)s AND metric = ANY (%(metrics)s) GROUP BY 1, 2
    ) AS s
    JOIN progress AS p USING (topic, partition)
    LEFT JOIN derived_homes AS h ON h.derived_id = %(id)s AND h.topic = p.topic AND h.partition = p.partition
    WHERE isfinite(p.released_to)
"""
_OF_DERIVED = """
    SELECT microseconds(computed_to) FROM derived_metrics
    WHERE tenant = %(tenant)s AND metric = ANY (%(metrics)s) AND removed_at IS NULL
"""
_FLOOR = """
    SELECT microseconds(floor) FROM (
        SELECT greatest(
            (SELECT kept_from FROM raw_retention),
            (SELECT max(CASE WHEN s.metric = %(metric)s THEN r.kept_from ELSE r.rollups_from END)
             FROM series_retention AS r JOIN series AS s USING (series_id)
             WHERE s.tenant = %(tenant)s AND (s.metric = %(metric)s OR s.metric = ANY (%(metrics)s)))
        ) AS floor
    ) AS found
"""
_FORGET = """
    DELETE FROM derived_results WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM derived_results WHERE derived_id = %s AND bucket < %s ORDER BY bucket LIMIT %s
    ))
"""
_TAKE_HOME = """
    INSERT INTO derived_homes (derived_id, topic, partition, taken_to) VALUES (%s, %s, %s, %s)
    ON CONFLICT ON CONSTRAINT derived_homes_pkey DO UPDATE SET taken_to = excluded.taken_to
"""
_MARK_BEHIND: LiteralString = """
    INSERT INTO derived_marks (derived_id, bucket)
    SELECT DISTINCT %(id)s::int, r.bucket
    FROM series AS s JOIN {table} AS r USING (series_id)
    WHERE s.tenant = %(tenant)s AND s.metric = ANY (%(metrics)s) AND s.home_topic = %(topic)s
      AND s.home_partition = %(partition)s AND r.bucket >= %(from)s AND r.bucket < %(to)s
"""
# All of it may be years: what comes after the first is computed again bit by bit.
_MARK_NEW: LiteralString = """
    INSERT INTO derived_marks (derived_id, bucket, onward)
    SELECT %(id)s::int, min(found.bucket), true
    FROM series AS s CROSS JOIN LATERAL (
        SELECT r.bucket FROM {table} AS r
        WHERE r.series_id = s.series_id AND r.bucket >= %(from)s AND r.bucket < %(to)s
        ORDER BY r.bucket LIMIT 1
    ) AS found
    WHERE s.tenant = %(tenant)s AND s.metric = ANY (%(metrics)s) AND s.home_topic = %(topic)s
      AND s.home_partition = %(partition)s
    HAVING count(*) > 0
"""
_NEXT: LiteralString = """
    SELECT microseconds(least(
        (SELECT min(found.bucket) FROM series AS s CROSS JOIN LATERAL (
            SELECT r.bucket FROM {table} AS r
            WHERE r.series_id = s.series_id AND r.bucket >= %(from)s AND r.bucket < %(to)s
            ORDER BY r.bucket LIMIT 1
         ) AS found
         WHERE s.tenant = %(tenant)s AND s.metric = ANY (%(metrics)s)),
        (SELECT min(bucket) FROM derived_results
         WHERE derived_id = %(id)s AND bucket >= %(from)s AND bucket < %(to)s)
    ))
"""
_TAKE_MARKS = """
    DELETE FROM derived_marks WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM derived_marks WHERE derived_id = %s ORDER BY bucket LIMIT %s
    ))
    RETURNING microseconds(date_bin(%s, bucket, 'epoch')), onward
"""
_MARK = "INSERT INTO derived_marks (derived_id, bucket) SELECT %s, unnest(%s::timestamptz[])"
_ADVANCE = """
    UPDATE derived_metrics SET computed_to = %s, batches = %s, trouble = %s WHERE derived_id = %s
"""
_CHANGED = """
    INSERT INTO derived_marks (derived_id, bucket)
    SELECT DISTINCT d.derived_id, changed.bucket
    FROM unnest(%s::int[], %s::timestamptz[]) AS changed (series_id, bucket)
    JOIN series AS s USING (series_id)
    JOIN derived_metrics AS d ON d.tenant = s.tenant AND s.metric = ANY (d.inputs)
    WHERE d.level = %s AND d.removed_at IS NULL
"""
_ANY_OF_LEVEL = "SELECT EXISTS (SELECT FROM derived_metrics WHERE level = %s AND removed_at IS NULL)"


class Home(NamedTuple):
    """A partition that inputs are at home on, how far it has come, and up to where its buckets were seen."""

    topic: str
    partition: int
    series: int
    released_us: int
    taken_us: int | None


class Derived(NamedTuple):
    """What was done of one metric: how many buckets were computed, and how many results were told."""

    metric: str
    buckets: int
    told: int


def mark_inputs(session: Connection, level: Level, *changed: Aggregates) -> None:
    """Mark what is computed of these rows, which were computed again, or are gone."""
    ((is_any,),) = session.execute(_ANY_OF_LEVEL, (level.name,)).fetchall()
    rows = Aggregates.concat(changed)
    if is_any and len(rows.readings):
        buckets = [timestamp(bucket_us) for bucket_us in rows.bucket_us.tolist()]
        session.execute(_CHANGED, (rows.series_id.tolist(), buckets, level.name))


class Deriver:
    """Computes what is due of derived metrics, a bounded part of one at once, in turn; tells it on ``topic``.

    It remembers how far partitions had come when nothing was left to do: so looking costs a query a metric.
    One that cannot be computed says why in ``trouble`` and is passed over for a while: no other waits for it.
    Names in readings have ``max_name_chars`` at most.
    """

    def __init__(
        self,
        topic: str,
        max_name_chars: int = MAX_NAME_CHARS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = topic
        self._max_name_chars = max_name_chars
        self._clock = clock
        self._idle_at: dict[int, tuple[str, int]] = {}
        self._failed: dict[int, Failure] = {}
        self._last = 0

    def derive_some(self, session: Connection) -> list[Derived]:
        """Compute some of what is due of the next metric that has some; return what was done.

        Returns nothing where nothing is due, another session is at it, or somebody defines one just now.
        """
        definitions = read_definitions(session)
        definitions.sort(key=lambda each: each.derived_id <= self._last)
        for definition in definitions:
            if self._is_passed_over(session, definition):
                continue
            ((come_to, is_marked),) = session.execute(_COME_TO, definition.names).fetchall()
            state = (come_to, definition.defined)
            if not is_marked and self._idle_at.get(definition.derived_id) == state:
                continue
            try:
                is_judged, some = self._derive(session, definition)
            except Exception as problem:  # of any kind: it is of this metric alone
                self._last = definition.derived_id
                self._pass_over(session, definition, problem)
                return []
            if not is_judged:
                return []
            self._works(session, definition)
            if some is not None:
                self._last = definition.derived_id
                self._idle_at.pop(definition.derived_id, None)
                return [some]
            self._idle_at[definition.derived_id] = state
        return []

    def _derive(self, session: Connection, definition: Definition) -> tuple[bool, Derived | None]:
        """Return whether it could be judged what is due, and what was done."""
        is_judged, some = False, None
        with session.transaction():
            if not _is_alone(session):
                raise Rollback
            kept = raised(session)
            some = _derive(session, definition, self._topic, self._max_name_chars)
            if raised(session) != kept:
                raise Rollback  # inputs may have been dropped meanwhile
            is_judged = True
        return is_judged, some

    def _is_passed_over(self, session: Connection, definition: Definition) -> bool:
        failed = self._failed.get(definition.derived_id)
        if failed is None or failed.defined != definition.defined or self._clock() >= failed.until_s:
            return False
        tell_trouble(session, definition.derived_id, failed.trouble)
        return True

    def _pass_over(self, session: Connection, definition: Definition, problem: Exception) -> None:
        trouble = " ".join(str(problem).split()) or type(problem).__name__
        log.warning("%s of tenant %s is not computed: %s", definition.metric, definition.tenant, trouble)
        self._failed[definition.derived_id] = Failure(
            definition.defined, self._clock() + PASSED_OVER_S, trouble
        )
        if session.closed:  # what failed may have ended it: the trouble is told by the next one
            raise problem
        tell_trouble(session, definition.derived_id, trouble)

    def _works(self, session: Connection, definition: Definition) -> None:
        if self._failed.pop(definition.derived_id, None):
            tell_trouble(session, definition.derived_id, None)


class Failure(NamedTuple):
    """Why a metric could not be computed as it was defined, and until when it is passed over."""

    defined: int
    until_s: float
    trouble: str


def _is_alone(session: Connection) -> bool:
    """Whether nobody else computes metrics, or defines one, until the open transaction ends."""
    if not session.execute(_LOCK).fetchall()[0][0]:
        return False
    try:
        session.execute(_BESIDE_NOBODY)
    except errors.LockNotAvailable:
        return False
    return True


def _derive(session: Connection, definition: Definition, topic: str, max_name_chars: int) -> Derived | None:
    """Compute some of what is due of a metric, in the open transaction; None where nothing is.

    How far partitions have come is read before their rows are: nobody closes a bucket before that any more.
    """
    held = session.execute(_HOLD, (definition.derived_id, definition.defined)).fetchall()
    if not held:
        return None
    computed_us, since_us, batches = or_never(held[0][0]), or_never(held[0][1]), held[0][2]
    since_us = since_us if since_us >= EARLIEST_US else NEVER_US
    ((floor_us,),) = session.execute(_FLOOR, definition.names).fetchall()
    since_us = max(since_us, or_never(floor_us))
    floor = moment(or_never(floor_us))
    forgotten = session.execute(_FORGET, (definition.derived_id, floor, FORGOTTEN_AT_ONCE)).rowcount
    homes = [Home(*row) for row in session.execute(_HOMES, definition.names).fetchall()]
    _take_in(session, definition, homes, since_us, computed_us)
    at_once = max(1, ROWS_AT_ONCE // max(1, sum(home.series for home in homes)))
    marked, onward_us = _take_marks(session, definition, at_once)
    begin_us = max(since_us, min(computed_us, onward_us))
    again = (bucket_us for bucket_us in marked if since_us <= bucket_us < begin_us)
    spans = spans_of(again, definition.level.width_us)
    end_us, more = _next(session, definition, begin_us, _due_to(session, definition, homes), at_once)
    if not marked and onward_us == FOREVER_US and end_us == computed_us and forgotten < FORGOTTEN_AT_ONCE:
        return None
    told, too_long = 0, set[str]()
    for span in [*spans, *more]:
        some = compute(session, definition, *span, max_name_chars)
        copy_messages(session, topic, numbered(definition, some.messages, batches))
        batches, told = batches + len(some.messages), told + some.told
        too_long |= some.too_long
    trouble = _left_out(too_long, max_name_chars)
    session.execute(_ADVANCE, (moment(end_us), batches, trouble, definition.derived_id))
    buckets = sum(end - begin for begin, end in [*spans, *more]) // definition.level.width_us
    return Derived(definition.metric, buckets, told)


def _left_out(too_long: Set[str], max_name_chars: int) -> str | None:
    if not too_long:
        return None
    return (
        f"{len(too_long):,} are left out, as {min(too_long)[:60]}…: their names or paths have more than"
        f" {max_name_chars} characters, which no reading may have"
    )


def _take_in(
    session: Connection, definition: Definition, homes: Sequence[Home], since_us: int, computed_us: int
) -> None:
    """Mark what partitions closed behind the mark since they were seen, and see how far they are now."""
    width_us = definition.level.width_us
    for home in homes:
        closed_us = home.released_us // width_us * width_us
        from_us = since_us if home.taken_us is None else max(since_us, home.taken_us)
        to_us = min(closed_us, computed_us)
        if from_us < to_us:
            mark = SQL(_MARK_NEW if home.taken_us is None else _MARK_BEHIND)
            query = mark.format(table=Identifier(definition.level.table))
            asked = {"topic": home.topic, "partition": home.partition, "from": moment(from_us)}
            session.execute(query, {**definition.names, **asked, "to": moment(to_us)})
        if closed_us != home.taken_us:
            taken = (definition.derived_id, home.topic, home.partition, moment(closed_us))
            session.execute(_TAKE_HOME, taken)


def _take_marks(session: Connection, definition: Definition, most: int) -> tuple[list[int], int]:
    """Remove marks of so many buckets, and return them; and from which on all are to be computed again."""
    taken = session.execute(
        _TAKE_MARKS, (definition.derived_id, MARKS_AT_ONCE, definition.names["width"])
    ).fetchall()
    buckets_us = sorted({or_never(bucket_us) for bucket_us, onward in taken if not onward})
    left = [moment(bucket_us) for bucket_us in buckets_us[most:]]
    session.execute(_MARK, (definition.derived_id, left))
    onward_us = min((or_never(bucket_us) for bucket_us, onward in taken if onward), default=FOREVER_US)
    return buckets_us[:most], onward_us


def _due_to(session: Connection, definition: Definition, homes: Sequence[Home]) -> int:
    """Return up to where all buckets are closed, but for partitions that are too far behind."""
    furthest_us = max((home.released_us for home in homes), default=NEVER_US)
    due_us = min(
        (home.released_us for home in homes if home.released_us >= furthest_us - PATIENCE_US),
        default=NEVER_US,
    )
    for (computed_us,) in session.execute(_OF_DERIVED, definition.names).fetchall():
        due_us = min(due_us, max(NEVER_US, or_never(computed_us) - PATIENCE_US))
    return due_us // definition.level.width_us * definition.level.width_us if due_us != NEVER_US else NEVER_US


def _next(
    session: Connection, definition: Definition, begin_us: int, due_us: int, at_once: int
) -> tuple[int, list[tuple[int, int]]]:
    """Return up to where all is computed after this, and the span that is computed for it, if any."""
    if begin_us >= due_us:
        return begin_us, []
    query = SQL(_NEXT).format(table=Identifier(definition.level.table))
    asked = {**definition.names, "from": moment(begin_us), "to": moment(due_us)}
    ((first_us,),) = session.execute(query, asked).fetchall()
    if first_us is None:
        return due_us, []
    end_us = min(due_us, first_us + at_once * definition.level.width_us)
    return end_us, [(first_us, end_us)]
