"""Results of derived metrics: computed of a span of closed buckets, kept, and told as readings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
from psycopg.sql import SQL

from schemas.encode import BAD, GOOD, SeriesRef, encode_batch
from sinks.timescale.copy import read_rows
from sinks.timescale.rollups import TYPES, Level, decode_rollups, of_rows
from sinks.timescale.session import Connection
from sinks.timescale.times import or_never, timestamp
from streams.core.derived import (
    NOT_TOLD,
    Key,
    Memberships,
    Result,
    Without,
    group,
    is_told,
    results,
    revise,
)
from streams.core.expression import Expression, ExpressionError, parse_expression
from streams.core.limits import Limits
from streams.core.places import LEVELS, node_path
from streams.core.producers import COMPUTES

PRODUCER = f"{COMPUTES}derived"
RESULTS_IN_ONE = 100
MAX_BATCH_BYTES = 60_000
"""Settings may not bound messages lower."""

MAX_NAME_CHARS = Limits().max_name_chars
FOREVER_US = np.iinfo(np.int64).max

_DEFINITIONS = """
    SELECT d.derived_id, d.tenant, d.metric, d.expression, l.width_s, l.name, d.per, d.node, d.unit, d.defined
    FROM derived_metrics AS d JOIN rollup_levels AS l ON l.name = d.level
    WHERE d.removed_at IS NULL ORDER BY d.derived_id
"""
_MEMBERS = """
    SELECT p.series_id, p.metric, p.source, p.put_as IS NULL, p.site, p.zone, p.system, p.component,
           microseconds(p.since),
           microseconds(p.until)
    FROM series_places AS p
    WHERE p.tenant = %(tenant)s AND p.metric = ANY (%(metrics)s) AND p.since < %(to)s AND p.until > %(from)s
      AND (ARRAY[p.site, p.zone, p.system, p.component])[:cardinality(%(node)s::text[])]
          IS NOT DISTINCT FROM %(node)s::text[]
    ORDER BY p.series_id, p.since
"""
_ROWS = SQL(
    "SELECT {columns} FROM {table} AS r"
    " WHERE r.series_id = ANY (%(series)s) AND r.bucket >= %(from)s AND r.bucket < %(to)s"
)
_STORED = """
    SELECT source, microseconds(bucket), value, without, revision FROM derived_results
    WHERE derived_id = %s AND bucket >= %s AND bucket < %s
"""
_REPLACE = """
    DELETE FROM derived_results AS r
    USING unnest(%s::timestamptz[], %s::text[]) AS n (bucket, source)
    WHERE r.derived_id = %s AND r.bucket = n.bucket AND r.source = n.source
"""
_STORE = (
    "COPY derived_results (derived_id, bucket, source, value, without, revision) FROM STDIN (FORMAT BINARY)"
)
_STORE_TYPES = ["int4", "timestamptz", "text", "float8", "text", "int4"]
_TROUBLE = """
    UPDATE derived_metrics SET trouble = %s WHERE derived_id = %s AND trouble IS DISTINCT FROM %s
"""


class Definition(NamedTuple):
    """A derived metric as it is defined: see table ``derived_metrics``."""

    derived_id: int
    tenant: str
    metric: str
    expression: Expression
    level: Level
    per: str
    node: tuple[str | None, ...]
    unit: str | None
    defined: int

    @property
    def names(self) -> dict[str, Any]:
        """What most queries about it ask for."""
        return {
            "id": self.derived_id,
            "tenant": self.tenant,
            "metric": self.metric,
            "metrics": self.expression.metrics,
            "node": list(self.node),
            "width": timedelta(microseconds=self.level.width_us),
        }


class Node(NamedTuple):
    """What a result is of: the source of its series, and where that stands."""

    source: str
    place: tuple[str | None, ...]


class Computed(NamedTuple):
    """Messages that tell what is new in a span, of how many results, and sources that are left out."""

    messages: list[bytes]
    told: int
    too_long: set[str]


def read_definitions(session: Connection) -> list[Definition]:
    """Return the metrics that are defined. One that cannot be read is left out, and told in ``trouble``."""
    found = []
    for number, tenant, metric, text, width_s, level, per, node, unit, defined in session.execute(
        _DEFINITIONS
    ).fetchall():
        try:
            expression = parse_expression(text)
        except ExpressionError as error:
            tell_trouble(session, number, str(error))
            continue
        of_level = Level(level, width_s * 1_000_000)
        found.append(
            Definition(number, tenant, metric, expression, of_level, per, tuple(node), unit, defined)
        )
    return found


def tell_trouble(session: Connection, derived_id: int, trouble: str | None) -> None:
    """Keep why a metric is not computed; None where it is."""
    session.execute(_TROUBLE, (trouble, derived_id, trouble))


def compute(
    session: Connection, definition: Definition, begin_us: int, end_us: int, max_name_chars: int
) -> Computed:
    """Compute the buckets of a span, and keep what is new; see :class:`Computed`.

    Nodes with names or paths beyond ``max_name_chars`` are left out: readings of them would be refused.
    """
    nodes, now = computed(session, definition, begin_us, end_us)
    too_long = {node.source for node in nodes if _is_too_long(node, max_name_chars)}
    now = {key: result for key, result in now.items() if key.source not in too_long}
    between = timestamp(begin_us), timestamp(end_us)
    before = {
        Key(source, bucket_us): Result(value, without and Without(without), revision)
        for source, bucket_us, value, without, revision in session.execute(
            _STORED, (definition.derived_id, *between)
        )
    }
    new = revise(before, now)
    _store(session, definition, new)
    told = [
        (key, result)
        for key, result in new.items()
        if key.source not in too_long and is_told(key, result, before)
    ]
    places = {node.source: node.place for node in nodes}
    parts = [told[start : start + RESULTS_IN_ONE] for start in range(0, len(told), RESULTS_IN_ONE)]
    messages = [message for part in parts for message in _messages(definition, part, places)]
    return Computed(messages, len(told), too_long)


def computed(
    session: Connection, definition: Definition, begin_us: int, end_us: int
) -> tuple[list[Node], dict[Key, Result]]:
    """Return what the rows of a span give, and the nodes that it is of; changes nothing."""
    between = {"from": timestamp(begin_us), "to": timestamp(end_us)}
    found = session.execute(_MEMBERS, {**definition.names, **between}).fetchall()
    nodes, members = _members(definition, found)
    asked = {**between, "series": np.unique(members.series_id).tolist()}
    rows = decode_rollups(read_rows(session, of_rows(_ROWS, definition.level), asked, **TYPES))
    grouped = group(rows, members, definition.expression)
    width_s = definition.level.width_us / 1_000_000
    return nodes, results(grouped, definition.expression, width_s, [node.source for node in nodes])


def _is_too_long(node: Node, max_name_chars: int) -> bool:
    return max(len(name or "") for name in (node.source, *node.place)) > max_name_chars


def _members(definition: Definition, found: Sequence[tuple[Any, ...]]) -> tuple[list[Node], Memberships]:
    """Return the nodes that have series of all inputs, and which series counts for which of them."""
    metrics = {metric: number for number, metric in enumerate(definition.expression.metrics)}
    inputs: dict[str, set[str]] = {}
    nodes: dict[str, Node] = {}
    rows = []
    for series_id, metric, source, is_said, *place, since_us, until_us in found:
        node = node_of(definition.per, source, tuple(place))
        if node is not None:
            # Where its source was put, a derived series is put, too; else it says what the inputs say.
            node = node if is_said or definition.per != "source" else Node(source, ())
            nodes[node.source] = nodes.get(node.source, node) if not node.place else node
            inputs.setdefault(node.source, set()).add(metric)
            rows.append((series_id, metrics[metric], node.source, or_never(since_us), until_us))
    whole = {
        source: number for number, source in enumerate(s for s in inputs if len(inputs[s]) == len(metrics))
    }
    kept = [(*ids, whole[name], since, until) for *ids, name, since, until in rows if name in whole]
    columns = np.array(
        [(*some, FOREVER_US if until is None else until) for *some, until in kept], np.int64
    ).reshape(-1, 5)
    series_id, metric_number, node_number = columns[:, :3].astype(np.int32).T
    return [nodes[source] for source in whole], Memberships(
        series_id, metric_number, node_number, columns[:, 3], columns[:, 4]
    )


def node_of(per: str, source: str, place: tuple[str | None, ...]) -> Node | None:
    """Return the node that a series counts for; None where it stands in none of that level.

    >>> node_of("zone", "pump-1", ("north", "hall 1", "cooling", None))
    Node(source='/north/hall 1', place=('north', 'hall 1'))
    """
    if per == "source":
        return Node(source, place)
    depth = LEVELS.index(per) + 1 if per in LEVELS else 0
    place = place[:depth]
    if depth and place[-1] is None:
        return None
    return Node("/" + node_path(place).removeprefix("/"), place)


def _store(session: Connection, definition: Definition, new: Mapping[Key, Result]) -> None:
    if not new:
        return
    buckets, sources = [timestamp(key.bucket_us) for key in new], [key.source for key in new]
    session.execute(_REPLACE, (buckets, sources, definition.derived_id))
    with session.cursor() as cursor, cursor.copy(_STORE) as copy:
        copy.set_types(_STORE_TYPES)
        for key, (value, without, revision) in new.items():
            if without is not Without.GONE or revision != NOT_TOLD:
                at = timestamp(key.bucket_us)
                copy.write_row(
                    (definition.derived_id, at, key.source, value, without and str(without), revision)
                )


def _messages(
    definition: Definition,
    told: Sequence[tuple[Key, Result]],
    places: Mapping[str, tuple[str | None, ...]],
) -> list[bytes]:
    """Return results as batches of readings, of which none is too large for a broker or a worker."""
    sources = list(dict.fromkeys(key.source for key, _ in told))
    numbers = {source: number for number, source in enumerate(sources)}
    batch = encode_batch(
        producer=PRODUCER,
        tenant=definition.tenant,
        series=[
            SeriesRef(source, definition.metric, _attributes(definition.unit, places.get(source, ())))
            for source in sources
        ],
        series_index=np.array([numbers[key.source] for key, _ in told]),
        time_us=np.array([key.bucket_us for key, _ in told]),
        value=np.array([np.nan if result.value is None else result.value for _, result in told]),
        quality=np.array([BAD if result.value is None else GOOD for _, result in told]),
        revision=np.array([result.revision for _, result in told]),
    )
    if len(batch) <= MAX_BATCH_BYTES or len(told) == 1:
        return [batch]
    middle = len(told) // 2
    halves = told[:middle], told[middle:]
    return [message for half in halves for message in _messages(definition, half, places)]


def _attributes(unit: str | None, place: tuple[str | None, ...]) -> dict[str, str] | None:
    """Return what is said of a derived series: its unit, and where it stands."""
    names = dict(zip(LEVELS, place, strict=False))
    return {name: text for name, text in {**names, "unit": unit}.items() if text} or None


def numbered(
    definition: Definition, messages: Sequence[bytes], first: int
) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield event id, key and value of each: a metric's are all in one partition, and so in order."""
    key = f"{PRODUCER}/{definition.tenant}/{definition.metric}".encode()
    for number, message in enumerate(messages, first):
        yield f"derived/{definition.derived_id}/{number}", key, message
