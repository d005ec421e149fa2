"""Derived metrics: defined, tried on the rollups that there are, listed and removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from sinks.timescale.derived_results import MAX_NAME_CHARS, Definition, computed
from sinks.timescale.rollups import Level
from sinks.timescale.times import timestamp
from streams.core.derived import DerivedLoopError, Key, Result, Without, check_loops
from streams.core.expression import Expression, ExpressionError, parse_expression
from streams.core.places import LEVELS, Node
from streams.core.series import SeriesKey
from streams.core.validate import fault_of_series
from streams.errors import UserError

KINDS = ("source", *reversed(LEVELS), "tenant")
"""What there can be a result of."""

TRIED_BUCKETS = 24
"""So many of the last closed buckets are computed to try an expression."""

EXPRESSIONS = "streamgauge derived define --help shows some."

_LIST = """
    SELECT tenant, metric, expression, level, per, node, unit, since::text, computed_to, trouble,
           results, missing, missing_at, undefined, undefined_at, corrected, waiting
    FROM derived_state WHERE tenant = %s ORDER BY metric
"""
_LOCK = """
    SET LOCAL idle_in_transaction_session_timeout TO '10s';
    LOCK TABLE derived_metrics IN SHARE ROW EXCLUSIVE MODE
"""
_INPUTS = (
    "SELECT metric, inputs FROM derived_metrics WHERE tenant = %s AND metric <> %s AND removed_at IS NULL"
)
_LEVELS = "SELECT name, width_s FROM rollup_levels ORDER BY width_s"
_PRODUCED = """
    SELECT count(*) FROM series WHERE tenant = %(tenant)s AND metric = %(metric)s AND NOT EXISTS (
        SELECT FROM derived_metrics WHERE tenant = %(tenant)s AND metric = %(metric)s
    )
"""
_UNKNOWN = """
    SELECT asked.metric FROM unnest(%(inputs)s::text[]) AS asked (metric)
    WHERE NOT EXISTS (SELECT FROM series AS s WHERE s.tenant = %(tenant)s AND s.metric = asked.metric)
    ORDER BY 1
"""
# Whatever it was before: what was told of it is told anew where it differs, and taken back where it is gone.
_DEFINE = """
    INSERT INTO derived_metrics AS d (tenant, metric, expression, inputs, level, per, node, unit, since)
    SELECT %(tenant)s, %(metric)s, %(expression)s, %(inputs)s, l.name, %(per)s, %(node)s, %(unit)s,
           date_bin(make_interval(secs => l.width_s), coalesce(%(since)s::timestamptz, now()), 'epoch')
    FROM rollup_levels AS l WHERE l.name = %(level)s
    ON CONFLICT (tenant, metric) DO UPDATE
    SET expression = excluded.expression, inputs = excluded.inputs, level = excluded.level,
        per = excluded.per, node = excluded.node, unit = excluded.unit, since = excluded.since,
        computed_to = '-infinity', trouble = NULL, removed_at = NULL, defined = d.defined + 1
    RETURNING derived_id
"""
_BEGIN_ANEW = """
    WITH marks AS (DELETE FROM derived_marks WHERE derived_id = %(id)s)
    DELETE FROM derived_homes WHERE derived_id = %(id)s
"""
_CLOSED_TO = """
    SELECT microseconds(date_bin(%(width)s, max(released_to), 'epoch'))
    FROM progress WHERE isfinite(released_to)
"""
_NEEDED_BY = """
    SELECT metric FROM derived_metrics
    WHERE tenant = %(tenant)s AND %(metric)s = ANY (inputs) AND metric <> %(metric)s AND removed_at IS NULL
    ORDER BY metric LIMIT 1
"""
_REMOVE = """
    UPDATE derived_metrics SET removed_at = now(), defined = defined + 1
    WHERE tenant = %(tenant)s AND metric = %(metric)s AND removed_at IS NULL
    RETURNING derived_id
"""


class Wanted(NamedTuple):
    """A derived metric as somebody asks for it; ``since`` as the database reads it, None for now."""

    tenant: str
    metric: str
    expression: str
    level: str
    per: str
    node: Node
    unit: str | None
    since: str | None


class Tried(NamedTuple):
    """What a definition gives for the last closed buckets, and which inputs nobody produces yet."""

    results: dict[Key, Result]
    unknown: list[str]

    def count(self, without: Without | None) -> int:
        """Return how many buckets have no result for this reason, or have one."""
        return sum(result.without is without for result in self.results.values())

    @property
    def latest(self) -> dict[str, tuple[int, Result]]:
        """Return the last bucket of each source or node, and its result."""
        return {key.source: (key.bucket_us, self.results[key]) for key in sorted(self.results)}


def define(dsn: str, wanted: Wanted, *, dry_run: bool = False, max_name_chars: int = MAX_NAME_CHARS) -> Tried:
    """Try a metric, and define it, or define it anew; with ``dry_run`` it is tried only.

    It is tried before anything is locked: others are computed, and defined, meanwhile. Raises UserError.
    """
    expression = _parsed(wanted, max_name_chars)
    names = {**wanted._asdict(), "node": list(wanted.node), "inputs": expression.metrics}
    with _session(dsn) as session:
        level = _check(session, wanted, expression)
        definition = Definition(
            0, wanted.tenant, wanted.metric, expression, level, wanted.per, wanted.node, wanted.unit, 0
        )
        unknown = [metric for (metric,) in session.execute(_UNKNOWN, names)]
        tried = Tried(_tried(session, definition), unknown)
        session.commit()
        if not dry_run:
            session.execute(_LOCK)
            _check(session, wanted, expression)  # again: another may be defined meanwhile
            ((number,),) = session.execute(_DEFINE, {**names, "expression": expression.text}).fetchall()
            session.execute(_BEGIN_ANEW, {"id": number})
    return tried


def remove(dsn: str, tenant: str, metric: str) -> None:
    """Compute a metric no more; what was told of it stays. Raises UserError."""
    names = {"tenant": tenant, "metric": metric}
    with _session(dsn) as session:
        session.execute(_LOCK)
        for (other,) in session.execute(_NEEDED_BY, names).fetchall():
            raise UserError(f"{other} is computed from {metric}", hint="Remove it first.")
        removed = session.execute(_REMOVE, names).fetchall()
        if not removed:
            raise UserError(
                f"tenant {tenant} has no derived metric {metric}", hint="streamgauge derived list shows them."
            )
        session.execute(_BEGIN_ANEW, {"id": removed[0][0]})


def listed(dsn: str, tenant: str) -> list[dict[str, Any]]:
    """Return the derived metrics of a tenant, and how often each has no result."""
    with psycopg.connect(dsn, application_name="streamgauge derived") as session:
        session.execute("SET search_path TO public; SET timezone TO 'UTC'")
        return session.cursor(row_factory=dict_row).execute(_LIST, (tenant,)).fetchall()


def _parsed(wanted: Wanted, max_name_chars: int) -> Expression:
    unit = () if wanted.unit is None else (("unit", wanted.unit),)
    fault = fault_of_series(SeriesKey(wanted.tenant, "of inputs", wanted.metric, unit))
    if fault:
        raise UserError(fault[1], hint="Its readings would be refused. Units are in UCUM, like kW.h or %.")
    if len(wanted.metric) > max_name_chars:
        raise UserError(
            f"the metric's name has {len(wanted.metric)} characters",
            hint=f"Names have {max_name_chars} at most.",
        )
    try:
        return parse_expression(wanted.expression)
    except ExpressionError as error:
        raise UserError(f"the expression is refused: {error}", hint=EXPRESSIONS) from None


def _check(session: psycopg.Connection[Any], wanted: Wanted, expression: Expression) -> Level:
    """Return the level that is asked for. Raises UserError."""
    levels = {name: Level(name, width_s * 1_000_000) for name, width_s in session.execute(_LEVELS)}
    if wanted.level not in levels:
        raise UserError(
            f"there are no rollups of level {wanted.level}", hint=f"Levels are {', '.join(levels)}."
        )
    inputs = {
        metric: list(needs) for metric, needs in session.execute(_INPUTS, (wanted.tenant, wanted.metric))
    }
    try:
        check_loops({wanted.metric: expression.metrics, **inputs})
    except DerivedLoopError as error:
        raise UserError(str(error), hint="Nothing was changed. Leave one of these out.") from None
    names = {"tenant": wanted.tenant, "metric": wanted.metric}
    ((produced,),) = session.execute(_PRODUCED, names).fetchall()
    if produced:
        raise UserError(
            f"tenant {wanted.tenant} has {produced:,} series of {wanted.metric} that producers send",
            hint="Give the derived metric a name of its own.",
        )
    return levels[wanted.level]


def _tried(session: psycopg.Connection[Any], definition: Definition) -> dict[Key, Result]:
    width_us = definition.level.width_us
    asked = {"width": timedelta(microseconds=width_us)}
    ((closed_us,),) = session.execute(_CLOSED_TO, asked).fetchall()
    if closed_us is None:
        return {}
    return computed(session, definition, closed_us - TRIED_BUCKETS * width_us, closed_us)[1]


@contextmanager
def _session(dsn: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Yield a transaction; what the database refuses of it is the user's error."""
    try:
        with psycopg.connect(dsn, application_name="streamgauge derived") as session:
            session.execute("SET search_path TO public; SET timezone TO 'UTC'; SET lock_timeout TO '30s'")
            yield session
    except errors.CheckViolation as refused:
        raise UserError(
            "this is not a kind of node",
            hint=f"Kinds are {', '.join(KINDS)}.",
        ) from refused
    except (psycopg.DataError, UnicodeEncodeError) as refused:
        raise UserError(f"the database does not take it: {refused}", hint="Nothing was changed.") from None


def told_at(bucket_us: int) -> str:
    """Return the begin of a bucket as text.

    >>> told_at(1_769_860_800_000_000)
    '2026-01-31 12:00Z'
    """
    return f"{timestamp(bucket_us):%F %H:%MZ}"
