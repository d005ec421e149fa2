"""JSON readings read together: one parse for all messages of a chunk, one column per field.

Readings whose objects have the same fields form a group. A group in which anything is out of the
ordinary is halved until what is left of it is small, and read exactly, one reading at a time.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from operator import itemgetter
from typing import Any

import numpy as np
import orjson

from schemas.encode import DEFAULT_TENANT
from schemas.registry import QUALITIES
from streams.core.batch import COLUMN_TYPES, UNNUMBERED, Columns, Float64, Int64, Messages
from streams.core.limits import Limits
from streams.core.names import ANONYMOUS, Names
from streams.core.rejection import WHOLE_RECORD, Refused, Rejection
from streams.core.rfc3339 import parse_all_us
from streams.core.wire import json_exact
from streams.core.wire.lockstep import places
from streams.core.wire.memo import Memo
from streams.core.wire.readings import UNKNOWN, KeyProducers
from streams.core.wire.rows import MAX_REVISION, Row, to_columns

_NONCE = secrets.token_hex(16)
_BETWEEN = f',"{_NONCE}",'.encode()
_LEAST_GROUP = 16
"""Fewer readings are read faster one at a time."""

_QUALITY = {name: number for number, name in enumerate(QUALITIES)}
_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1

Objects = Sequence[dict[str, Any]]
Fields = dict[str, list[Any]]


class Uncommon(Exception):  # noqa: N818 - reads as what happened
    """A group of readings cannot be read as columns."""


class JsonSeries(Memo[tuple[Any, ...], int]):
    """Maps (tenant, source, metric, attributes in JSON) to the table's index; reads what is new."""

    def __init__(self, names: Names) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, key: tuple[Any, ...]) -> int:
        tenant, source, metric, attributes = key
        if {type(tenant), type(source), type(metric)} != {str}:
            raise Uncommon
        try:
            pairs = json_exact.read_attributes(orjson.loads(attributes))
            index = self._names.series_index(tenant, source, metric, pairs)
        except Refused as refused:
            raise Uncommon from refused
        return self.remember(key, index, sum(map(len, key)))


class JsonReader:
    """Reads the JSON messages of a chunk."""

    def __init__(self, names: Names, limits: Limits, key_producers: KeyProducers) -> None:
        self._names = names
        self._limits = limits
        self._key_producers = key_producers
        self._series = JsonSeries(names)

    def read(self, messages: Messages, rows: Int64) -> tuple[list[Columns], list[Rejection]]:
        """Return the readings of the messages ``rows``, in groups, and what is refused."""
        objects, row_of, place_of, rejections = self._objects(messages, rows)
        read: list[Columns] = []
        pending = list(_groups(objects))
        while pending:
            fields, members = pending.pop()
            row, place = row_of[members], place_of[members]
            try:
                read.append(self._read_group(fields, messages, row, place))
            except Uncommon:
                if len(members) > _LEAST_GROUP:
                    pending += _halves(fields, members)
                    continue
                group = [objects[member] for member in members.tolist()]
                columns, refused = self._read_exactly(group, messages, row, place)
                read.append(columns)
                rejections.extend(refused)
        return read, rejections

    def _objects(
        self, messages: Messages, rows: Int64
    ) -> tuple[list[dict[str, Any]], Int64, Int64, list[Rejection]]:
        """Return the objects of all messages, the message and the place in it of each, and the refused."""
        values = [messages.values[row] or b"" for row in rows.tolist()]
        documents = parse(values)
        if documents is not None and set(map(type, documents)) == {dict}:
            return documents, rows, np.zeros(len(rows), np.int64), []
        objects: list[dict[str, Any]] = []
        counts = np.zeros(len(rows), np.int64)
        rejections = []
        for number, value in enumerate(values):
            try:
                if documents is None:
                    elements = json_exact.load(value, self._limits)
                else:
                    elements = json_exact.objects(documents[number], self._limits)
            except Refused as refused:
                offset = int(messages.offsets[rows[number]])
                rejections.append(Rejection.of(offset, WHOLE_RECORD, refused.reason, str(refused), value))
            else:
                objects.extend(elements)
                counts[number] = len(elements)
        return objects, np.repeat(rows, counts), places(counts), rejections

    def _read_group(self, fields: Fields, messages: Messages, rows: Int64, place: Int64) -> Columns:
        """Read objects of the same fields as columns. Raises :class:`Uncommon`."""
        count = len(rows)
        if count < _LEAST_GROUP or not json_exact.REQUIRED <= fields.keys() <= json_exact.FIELDS:
            raise Uncommon
        zeros = np.zeros(count, np.int64)
        producer = self._producers(fields, messages, rows)
        if "sequence" in fields:
            sequence = _integers(fields["sequence"], 0, _INT64_MAX - 1)
        else:
            sequence = np.full(count, UNNUMBERED, np.int64)
        columns = {
            "series": self._series_indices(fields),
            "time_us": _times(fields["time"]),
            "value": _values(fields["value"]),
            "quality": _qualities(fields["quality"]) if "quality" in fields else zeros,
            "revision": _integers(fields["revision"], 0, MAX_REVISION) if "revision" in fields else zeros,
            "producer": producer,
            "epoch": _integers(fields["epoch"]) if "epoch" in fields else zeros,
            "sequence": np.where(producer == ANONYMOUS, UNNUMBERED, sequence),
            "offset": messages.offsets[rows],
            "index": place,
            "stamp_ms": messages.timestamps_ms[rows],
        }
        return Columns(
            **{name: columns[name].astype(dtype, copy=False) for name, dtype in COLUMN_TYPES.items()}
        )

    def _series_indices(self, fields: Fields) -> Int64:
        tenants = fields.get("tenant") or repeat(DEFAULT_TENANT)
        attributes: Iterable[bytes] = repeat(b"null")
        try:
            if "attributes" in fields:
                attributes = map(orjson.dumps, fields["attributes"])
            keys = zip(tenants, fields["source"], fields["metric"], attributes, strict=False)
            return np.fromiter(map(self._series.__getitem__, keys), np.int64, len(fields["source"]))
        except TypeError as unhashable_or_too_deep:
            raise Uncommon from unhashable_or_too_deep

    def _producers(self, fields: Fields, messages: Messages, rows: Int64) -> Int64:
        if "producer" not in fields:
            keys = [messages.keys[row] for row in rows.tolist()]
            producers = np.fromiter(map(self._key_producers.__getitem__, keys), np.int64, len(keys))
            if (producers == UNKNOWN).any():
                raise Uncommon
            return producers
        names = fields["producer"]
        if set(map(type, names)) != {str}:
            raise Uncommon
        try:
            return np.fromiter(map(self._names.producer_index, names), np.int64, len(names))
        except Refused as refused:
            raise Uncommon from refused

    def _read_exactly(
        self, group: Objects, messages: Messages, rows: Int64, places: Int64
    ) -> tuple[Columns, list[Rejection]]:
        outcomes = [
            json_exact.read_or_reject(
                reading, self._names, row, place, int(messages.offsets[row]), messages.keys[row]
            )
            for reading, row, place in zip(group, rows.tolist(), places.tolist(), strict=True)
        ]
        read = [outcome for outcome in outcomes if isinstance(outcome, Row)]
        refused = [outcome for outcome in outcomes if isinstance(outcome, Rejection)]
        return to_columns(read, messages), refused


def parse(values: Sequence[bytes]) -> list[Any] | None:
    """Return what each message is in JSON, parsing all at once; None where that cannot be told.

    The messages stand in one array with an unguessable string between any two, so a message that
    closes or opens brackets cannot pass for its neighbours: the string would not be at every
    second place.
    """
    try:
        joined = orjson.loads(b"".join((b"[", _BETWEEN.join(values), b"]")))
    except orjson.JSONDecodeError:
        return None
    if len(joined) != 2 * len(values) - 1 or joined[1::2].count(_NONCE) != len(values) - 1:
        return None
    documents: list[Any] = joined[::2]
    return documents


def _groups(objects: Objects) -> Iterator[tuple[Fields, Int64]]:
    """Yield the objects that have the same fields: the values of each field, and their numbers."""
    if not objects:
        return
    if len(set(map(len, objects))) == 1:
        try:
            fields = _fields(objects)
        except KeyError:
            pass
        else:
            yield fields, np.arange(len(objects))
            return
    numbers_of: dict[tuple[str, ...], list[int]] = {}
    for number, shape in enumerate(map(tuple, objects)):
        numbers_of.setdefault(shape, []).append(number)
    for numbers in numbers_of.values():
        yield _fields([objects[number] for number in numbers]), np.array(numbers)


def _fields(objects: Objects) -> Fields:
    """Return the values of each field that the first object has. Raises KeyError."""
    return {name: list(map(itemgetter(name), objects)) for name in objects[0]}


def _halves(fields: Fields, members: Int64) -> Iterator[tuple[Fields, Int64]]:
    """Yield a group's two halves: one odd reading of many then costs little."""
    middle = len(members) // 2
    for half in (slice(middle), slice(middle, None)):
        yield {name: column[half] for name, column in fields.items()}, members[half]


def _integers(column: list[Any], least: int = _INT64_MIN, most: int = _INT64_MAX) -> Int64:
    if set(map(type, column)) != {int}:
        raise Uncommon
    try:
        numbers = np.array(column, np.int64)
    except OverflowError as beyond:
        raise Uncommon from beyond
    if not least <= numbers.min() <= numbers.max() <= most:
        raise Uncommon
    return numbers


def _times(column: list[Any]) -> Int64:
    if set(map(type, column)) != {str}:
        return _integers(column)
    try:
        return parse_all_us(column)
    except ValueError as refused:
        raise Uncommon from refused


def _values(column: list[Any]) -> Float64:
    if not set(map(type, column)) <= {float, int, type(None)}:
        raise Uncommon
    return np.array(column, np.float64)  # None becomes NaN


def _qualities(column: list[Any]) -> Int64:
    try:
        return np.fromiter(map(_QUALITY.__getitem__, column), np.int64, len(column))
    except (KeyError, TypeError) as refused:
        raise Uncommon from refused
