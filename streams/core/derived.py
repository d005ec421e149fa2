"""Derived metrics: what an expression gives for each node and bucket, and what of it is new.

Rollups of the metrics that it needs are put together by node: one row for each node and bucket. What they
give is compared with what was told before, so that computing anything again tells what changed and
nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.core.aggregate import Aggregates
from streams.core.batch import NEVER_US, Float64, Int32, Int64
from streams.core.deduplicate import series_time_order
from streams.core.expression import Aggregate, Expression

Places = npt.NDArray[np.intp]

NOT_TOLD = -1
"""Revision of what there is no reading of."""


class DerivedLoopError(ValueError):
    """A derived metric would be computed from itself."""


class Without(StrEnum):
    """Why a bucket of a node has no result.

    ``missing``: not all of what is needed has usable readings. ``undefined``: the expression has no value, as
    a division by zero has none. ``gone``: nothing is there any more to compute it from.
    """

    MISSING = "missing"
    UNDEFINED = "undefined"
    GONE = "gone"


class Key(NamedTuple):
    """A bucket of a node, ``source`` being the name of the node's derived series."""

    source: str
    bucket_us: int


class Result(NamedTuple):
    """What a bucket of a node has: a value, or why it has none; and the revision that was told of it."""

    value: float | None
    without: Without | None
    revision: int = NOT_TOLD


class Memberships(NamedTuple):
    """Which series counts for which node, from when to when; metrics and nodes are numbers."""

    series_id: Int32
    metric: Int32
    node: Int32
    since_us: Int64
    until_us: Int64


class Grouped(NamedTuple):
    """What the rows of a metric make for each node and bucket: sorted by node, then bucket."""

    node: Int32
    bucket_us: Int64
    columns: Mapping[Aggregate, Float64]


def check_loops(inputs: Mapping[str, Iterable[str]]) -> None:
    """Raise :class:`DerivedLoopError` where a metric is computed from itself, or through others.

    ``inputs`` has for each derived metric those that it is computed from.

    >>> check_loops({"score": ["availability", "power"], "availability": ["down_s"]})
    >>> check_loops({"a": ["b"], "b": ["c"], "c": ["a"]})
    Traceback (most recent call last):
        ...
    streams.core.derived.DerivedLoopError: a is computed from itself: a needs b, b needs c, c needs a
    """
    done: set[str] = set()
    for start in inputs:
        way: list[tuple[str, Iterator[str]]] = [(start, iter(inputs[start]))]
        on_way = {start}
        while way:
            following = next((each for each in way[-1][1] if each in inputs and each not in done), None)
            if following is None:
                name, _ = way.pop()
                on_way.remove(name)
                done.add(name)
                continue
            if following in on_way:
                names = [name for name, _ in way]
                loop = [*names[names.index(following) :], following]
                steps = ", ".join(f"{one} needs {other}" for one, other in pairwise(loop))
                raise DerivedLoopError(f"{following} is computed from itself: {steps}")
            on_way.add(following)
            way.append((following, iter(inputs[following])))


def group(rows: Aggregates, members: Memberships, expression: Expression) -> Grouped:
    """Put rows of series together, by the nodes in which they stood when their buckets began."""
    member = _member_of(rows, members)
    some = (member >= 0) & (rows.usable > 0)
    rows, member = rows.take(some), member[some]
    node, metric = members.node[member], members.metric[member]
    # Of a node's bucket the series come in the order of their numbers: so sums are the same bit by bit.
    order = np.lexsort((rows.series_id, rows.bucket_us, node))
    rows, node, metric = rows.take(order), node[order], metric[order]
    begins = np.ones(len(node), np.bool_)
    begins[1:] = (np.diff(node) != 0) | (np.diff(rows.bucket_us) != 0)
    starts = np.flatnonzero(begins)
    place = np.cumsum(begins) - 1
    columns = {
        need: _aggregated(need, rows.take(of_metric), place[of_metric], len(starts))
        for need in expression.needs
        for of_metric in [metric == expression.metrics.index(need.metric)]
    }
    return Grouped(node[starts], rows.bucket_us[starts], columns)


def _aggregated(need: Aggregate, rows: Aggregates, place: Places, size: int) -> Float64:
    """Return one aggregate of rows, whose places are sorted; NaN where there is no row."""
    column = np.full(size, np.nan)
    if not len(place):
        return column
    starts = np.flatnonzero(np.append(True, np.diff(place) != 0))
    series = np.diff(starts, append=len(place)).astype(np.float64)
    usable = rows.usable.astype(np.float64)
    match need.name:
        case "mean":
            values = np.add.reduceat(rows.sum / usable, starts) / series
        case "last":
            values = np.add.reduceat(rows.last, starts) / series
        case "sum":
            values = np.add.reduceat(rows.sum, starts)
        case "min":
            values = np.minimum.reduceat(rows.min, starts)
        case "max":
            values = np.maximum.reduceat(rows.max, starts)
        case "count":
            values = np.add.reduceat(usable, starts)
        case _:
            values = series
    column[place[starts]] = values
    return column


def _member_of(rows: Aggregates, members: Memberships) -> Places:
    """Return for each row which membership holds when its bucket begins; -1 for none."""
    size = len(members.series_id)
    found = np.full(len(rows.series_id), -1)
    if not size:
        return found
    order = series_time_order(
        np.concatenate([members.series_id, rows.series_id]),
        np.concatenate([np.maximum(members.since_us, NEVER_US), rows.bucket_us]),
    )
    last = np.maximum.accumulate(np.where(order < size, np.arange(len(order)), -1))
    asked = np.flatnonzero((order >= size) & (last >= 0))
    member, row = order[last[asked]], order[asked] - size
    holds = (members.series_id[member] == rows.series_id[row]) & (
        rows.bucket_us[row] < members.until_us[member]
    )
    found[row[holds]] = member[holds]
    return found


def results(
    grouped: Grouped, expression: Expression, bucket_s: float, sources: Sequence[str]
) -> dict[Key, Result]:
    """Return what each row gives; ``sources`` has the name of each node."""
    value, some = expression.evaluate(grouped.columns, bucket_s)
    there = np.ones(len(value), np.bool_)
    for column in grouped.columns.values():
        there &= ~np.isnan(column)
    keys = zip(grouped.node.tolist(), grouped.bucket_us.tolist(), strict=True)
    rows = zip(value.tolist(), some.tolist(), there.tolist(), strict=True)
    return {
        Key(sources[node], bucket_us): Result(*_outcome(*row))
        for (node, bucket_us), row in zip(keys, rows, strict=True)
    }


def _outcome(value: float, is_some: bool, is_there: bool) -> tuple[float | None, Without | None]:
    if is_some:
        return value, None
    return None, Without.UNDEFINED if is_there else Without.MISSING


def revise(before: Mapping[Key, Result], now: Mapping[Key, Result]) -> dict[Key, Result]:
    """Return what is new, each as it is to be kept, with the revision that is to be told, or was.

    What had a value that was told, and has none any more, has the next revision: its reading is taken back.
    What never had one has none to take back.

    >>> key = Key("pump-1", 0)
    >>> revise({key: Result(0.5, None, 3)}, {key: Result(0.75, None)})[key].revision
    4
    """
    new: dict[Key, Result] = {}
    for key, (value, without, _) in now.items():
        was = before.get(key)
        told = NOT_TOLD if was is None else was.revision
        if was is None or without is not was.without or _bits(value) != _bits(was.value):
            is_said = value is not None or (was is not None and was.value is not None)
            new[key] = Result(value, without, told + is_said)
    for key, was in before.items():
        if key not in now and was.without is not Without.GONE:
            new[key] = Result(None, Without.GONE, was.revision + (was.value is not None))
    return new


def is_told(key: Key, result: Result, before: Mapping[Key, Result]) -> bool:
    """Tell whether a reading is to be sent of what is new."""
    was = before.get(key)
    return result.revision != (NOT_TOLD if was is None else was.revision)


def _bits(value: float | None) -> bytes:
    return b"" if value is None else struct.pack("<d", value)


def spans_of(buckets_us: Iterable[int], width_us: int) -> list[tuple[int, int]]:
    """Return buckets as spans of time, adjacent ones as one.

    >>> spans_of([120, 0, 60, 300], width_us=60)
    [(0, 180), (300, 360)]
    """
    spans: list[tuple[int, int]] = []
    for bucket_us in sorted(set(buckets_us)):
        if spans and spans[-1][1] == bucket_us:
            spans[-1] = (spans[-1][0], bucket_us + width_us)
        else:
            spans.append((bucket_us, bucket_us + width_us))
    return spans
