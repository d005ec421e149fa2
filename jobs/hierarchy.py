"""Where series stand: shown, said and changed, by functions of the database."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from streams.errors import UserError

LEVELS = ("site", "zone", "system", "component")
"""Levels below a tenant, from the highest on."""

EVER = "-infinity"

_SHOW = """
    SELECT site, zone, system, component, count(*) AS series, count(DISTINCT source) AS sources,
           count(*) FILTER (WHERE put_as IS NULL) AS as_produced
    FROM series_places
    WHERE tenant = %(tenant)s AND since <= %(at)s AND until > %(at)s
      AND (ARRAY[site, zone, system, component])[:cardinality(%(node)s::text[])]
          IS NOT DISTINCT FROM %(node)s::text[]
    GROUP BY site, zone, system, component
    ORDER BY site NULLS FIRST, zone NULLS FIRST, system NULLS FIRST, component NULLS FIRST
"""
_PLACE = "SELECT place_series(%s, %s, %s, %s, %s, %s, %s, %s::timestamptz)"
_MOVE = "SELECT move_node(%s, %s::text[], %s::text[], %s::timestamptz, %s)"

Node = tuple[str | None, ...]
"""Names of a site, a zone, a system and a component, as far as they go; None for a level that is left out."""


class Placement(NamedTuple):
    """Where a source, or one of its metrics, stands from a time on: a date, or ``EVER``."""

    source: str
    metric: str | None
    node: Node
    tenant: str
    since: str


def parse_node(text: str) -> Node:
    """Return the node of a path; ``/`` in a name is written ``\\/``, and ``/`` alone is the tenant itself.

    Raises UserError.

    >>> parse_node("north/hall 1//motor"), parse_node("/")
    (('north', 'hall 1', None, 'motor'), ())
    """
    names = [name.replace("\\/", "/") or None for name in re.split(r"(?<!\\)/", text)]
    while names and names[-1] is None:
        names.pop()
    if len(names) > len(LEVELS):
        raise UserError(
            f"{text!r} has {len(names)} levels",
            hint=f"A path is {'/'.join(LEVELS).upper()}, as far as it goes; a slash in a name is \\/.",
        )
    return tuple(names)


def node_path(node: Sequence[str | None]) -> str:
    """Return the path of a node.

    >>> node_path(["EU/1", None, "press", None])
    'EU\\\\/1//press'
    """
    names = [(name or "").replace("/", "\\/") for name in node]
    while names and not names[-1]:
        names.pop()
    return "/".join(names) or "/"


def parse_since(text: str) -> str:
    """Return a time as the database reads it: ``now``, ``ever`` or a date, in UTC where it names no offset.

    Raises UserError.

    >>> parse_since("2026-01-31"), parse_since("ever")
    ('2026-01-31T00:00:00+00:00', '-infinity')
    """
    if text == "ever":
        return EVER
    try:
        at = datetime.now(UTC) if text == "now" else datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"{text!r} is no time", hint="Give now, ever, or a date such as 2026-01-31T12:00Z."
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


def read_placements(file: Path, tenant: str, since: str) -> Iterator[Placement]:
    """Yield what a CSV file says: ``source`` and levels, and ``metric``, ``tenant`` and ``since`` if wanted.

    Raises UserError, with the line that is wrong.
    """
    known = {"source", "metric", "tenant", "since", *LEVELS}
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines)
        columns = rows.fieldnames or []
        if "source" not in columns or not set(columns) <= known:
            raise UserError(
                f"{file}: the columns are {', '.join(columns) or 'missing'}",
                hint=f"Begin with a line of names: source, {', '.join(LEVELS)}, metric, tenant, since.",
            )
        for row in rows:
            if None in row or None in row.values() or not row["source"]:
                raise UserError(
                    f"{file}, line {rows.line_num}: not {len(columns)} values, with a source",
                    hint="Quote values that have commas; leave empty what there is not.",
                )
            try:
                at = parse_since(row["since"]) if row.get("since") else since
            except UserError as error:
                raise UserError(f"{file}, line {rows.line_num}: {error}", hint=error.hint) from None
            node = tuple(row.get(level) or None for level in LEVELS)
            yield Placement(row["source"], row.get("metric") or None, node, row.get("tenant") or tenant, at)


def place(dsn: str, placements: Sequence[Placement]) -> list[str]:
    """Put series where they stand, all or none; return warnings of those that are not known.

    Raises UserError.
    """
    warnings: list[str] = []
    with _session(dsn) as session:
        session.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))
        for each in placements:
            names = (*each.node, *[None] * (len(LEVELS) - len(each.node)))
            session.execute(_PLACE, (each.tenant, each.source, each.metric, *names, each.since))
    return warnings


def move(dsn: str, tenant: str, node: Node, into: Node, since: str, as_name: str | None) -> int:
    """Move a node with all that stands in it; return how many sources and series were put anew.

    Raises UserError.
    """
    with _session(dsn) as session:
        ((moved,),) = session.execute(_MOVE, (tenant, list(node), list(into), since, as_name)).fetchall()
    return int(moved)


def show(dsn: str, tenant: str, node: Node, at: str) -> list[dict[str, Any]]:
    """Return the nodes in which series of a tenant stand at a time, and how many."""
    with psycopg.connect(dsn, row_factory=dict_row) as session:
        return session.execute(_SHOW, {"tenant": tenant, "node": list(node), "at": at}).fetchall()


@contextmanager
def _session(dsn: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Yield a transaction; what the database's functions refuse is the user's error."""
    try:
        with psycopg.connect(dsn, application_name="streamgauge hierarchy") as session:
            session.execute("SET search_path TO public")
            yield session
    except (errors.InvalidParameterValue, errors.NoDataFound) as refused:
        raise UserError(
            refused.diag.message_primary or str(refused), hint=refused.diag.message_hint or ""
        ) from None
