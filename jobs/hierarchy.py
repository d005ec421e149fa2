"""Where series stand: shown, said and changed, by functions of the database."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from streams.core.places import LEVELS, Node, without_end
from streams.errors import UserError

EVER = "-infinity"

NOW = None
"""The time at which the database does it."""

_SHOW = """
    SELECT site, zone, system, component, count(*) AS series, count(DISTINCT source) AS sources,
           count(*) FILTER (WHERE put_as IS NULL) AS as_produced
    FROM series_places
    WHERE tenant = %(tenant)s
      AND since <= coalesce(%(at)s::timestamptz, now()) AND until > coalesce(%(at)s::timestamptz, now())
      AND (ARRAY[site, zone, system, component])[:cardinality(%(node)s::text[])]
          IS NOT DISTINCT FROM %(node)s::text[]
    GROUP BY site, zone, system, component
    ORDER BY site NULLS FIRST, zone NULLS FIRST, system NULLS FIRST, component NULLS FIRST
"""
_PLACE = "SELECT place_series(%s, %s, %s, %s, %s, %s, %s, %s::timestamptz)"
_MOVE = "SELECT move_node(%s, %s::text[], %s::text[], %s::timestamptz, %s)"

_WORDS = {"now": NOW, "ever": EVER}
_ESCAPED = re.compile(r"\\([\\/.])")
_ESCAPED_OR_SLASH = re.compile(rf"{_ESCAPED.pattern}|/")


class Placement(NamedTuple):
    """Where a source, or one of its metrics, stands from a time on: a date, ``EVER`` or ``NOW``."""

    source: str
    metric: str | None
    node: Node
    tenant: str
    since: str | None


def parse_node(text: str) -> Node:
    r"""Return the node of a path.

    ``/`` alone is the tenant itself, and ``.`` stands for a site where there is none. In a name ``/`` is
    written ``\/``, and a backslash ``\\``; a site whose name is a dot is ``\.``.

    Raises UserError.

    >>> parse_node("north/hall 1//motor"), parse_node("./hall 1"), parse_node("/")
    (('north', 'hall 1', None, 'motor'), (None, 'hall 1'), ())
    """
    if text == "/":
        return ()
    if text[:1] in ("", "/") or "\0" in text or "\\" in _ESCAPED.sub("", text):
        raise UserError(
            f"{text!r} is no path",
            hint=r"Begin with a site, or with ./ where there is none; in a name write \/ for / and \\ for \.",
        )
    without_site = text == "." or text.startswith("./")
    names = _ESCAPED_OR_SLASH.sub(lambda found: found[1] or "\0", text).split("\0")
    if without_site:
        names[0] = ""
    if len(names) > len(LEVELS):
        raise UserError(
            f"{text!r} has {len(names)} levels",
            hint=f"A path is {'/'.join(LEVELS).upper()}, as far as it goes; a slash in a name is \\/.",
        )
    return without_end(names)


def parse_since(text: str) -> str | None:
    """Return a time as the database reads it: ``now``, ``ever`` or a date, in UTC where it names no offset.

    Raises UserError.

    >>> parse_since("2026-01-31"), parse_since("ever"), parse_since("now")
    ('2026-01-31T00:00:00+00:00', '-infinity', None)
    """
    if text in _WORDS:
        return _WORDS[text]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"{text!r} is no time", hint="Give now, ever, or a date such as 2026-01-31T12:00Z."
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


def read_placements(file: Path, tenant: str, since: str | None) -> list[Placement]:
    """Return what a CSV file says: ``source`` and levels, and ``metric``, ``tenant`` and ``since`` if wanted.

    Raises UserError, with the line that is wrong.
    """
    found: dict[tuple[str | None, ...], int] = {}
    placements: list[Placement] = []
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            for line, each in _placements(file, lines, tenant, since):
                earlier = found.setdefault((each.tenant, each.source, each.metric, each.since), line)
                if earlier != line:
                    raise UserError(
                        f"{file}, line {line}: what line {earlier} puts somewhere at the same time",
                        hint="Leave one of them out.",
                    )
                placements.append(each)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read: {error}", hint="Give a CSV file in UTF-8.") from None
    return placements


def _placements(file: Path, lines: TextIO, tenant: str, since: str | None) -> Iterator[tuple[int, Placement]]:
    known = {"source", "metric", "tenant", "since", *LEVELS}
    rows = csv.DictReader(lines, strict=True)
    columns = rows.fieldnames or []
    if "source" not in columns or not set(columns) <= known or len(set(columns)) < len(columns):
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
        if any("\0" in value for value in row.values()):
            raise UserError(f"{file}, line {rows.line_num}: has a NUL", hint="Names are text.")
        try:
            at = parse_since(row["since"]) if row.get("since") else since
        except UserError as error:
            raise UserError(f"{file}, line {rows.line_num}: {error}", hint=error.hint) from None
        node = tuple(row.get(level) or None for level in LEVELS)
        yield (
            rows.line_num,
            Placement(row["source"], row.get("metric") or None, node, row.get("tenant") or tenant, at),
        )


def place(dsn: str, placements: Sequence[Placement]) -> list[str]:
    """Put series where they stand, all or none; return warnings: some are not known, or stay elsewhere.

    Raises UserError.
    """
    warnings: list[str] = []
    with _session(dsn) as session:
        session.add_notice_handler(
            lambda notice: warnings.append(f"{notice.message_primary}. {notice.message_hint or ''}".rstrip())
        )
        for each in placements:
            names = (*each.node, *[None] * (len(LEVELS) - len(each.node)))
            session.execute(_PLACE, (each.tenant, each.source, each.metric, *names, each.since))
    return warnings


def move(dsn: str, tenant: str, node: Node, into: Node, since: str | None, as_name: str | None) -> int:
    """Move a node with all that stands in it; return how many sources and series were put anew.

    Raises UserError.
    """
    with _session(dsn) as session:
        ((moved,),) = session.execute(_MOVE, (tenant, list(node), list(into), since, as_name)).fetchall()
    return int(moved)


def show(dsn: str, tenant: str, node: Node, at: str | None) -> list[dict[str, Any]]:
    """Return the nodes in which series of a tenant stand at a time, and how many.

    Raises UserError.
    """
    with _session(dsn) as session:
        rows = session.cursor(row_factory=dict_row)
        return rows.execute(_SHOW, {"tenant": tenant, "node": list(node), "at": at}).fetchall()


@contextmanager
def _session(dsn: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Yield a transaction; what the database's functions refuse, or cannot be sent, is the user's error."""
    try:
        with psycopg.connect(dsn, application_name="streamgauge hierarchy") as session:
            session.execute("SET search_path TO public")
            yield session
    except (errors.InvalidParameterValue, errors.NoDataFound) as refused:
        raise UserError(
            refused.diag.message_primary or str(refused), hint=refused.diag.message_hint or ""
        ) from None
    except (psycopg.DataError, UnicodeEncodeError) as refused:
        raise UserError(
            f"the database takes no such name: {refused}", hint="Names are text in UTF-8."
        ) from None
