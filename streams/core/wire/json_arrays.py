"""JSON readings read together: each message as typed objects, then one column per field.

The types are stricter than the exact reader and never more lenient. A message in which anything does
not fit is left to it; where only the columns show that, they are halved until what is left is small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson

from schemas.encode import DEFAULT_TENANT, GOOD
from schemas.registry import QUALITIES
from streams.core.batch import UNNUMBERED, Bools, Columns, Int16, Int64, Messages
from streams.core.limits import Limits
from streams.core.names import ANONYMOUS, Names
from streams.core.rfc3339 import parse_all_us
from streams.core.wire.headers import UNKNOWN, KeyProducers, unpack
from streams.core.wire.json_exact import read_header
from streams.core.wire.lockstep import places
from streams.core.wire.memo import Memo
from streams.core.wire.rows import MAX_REVISION

PORTION_BYTES = 1 << 18
"""So much is made objects of at once: more would not stay in the processor's cache."""

FEW_READINGS = 16
"""So many are read faster one at a time than halved once more."""

_GOOD = QUALITIES[GOOD]
_QUALITY = {name: number for number, name in enumerate(QUALITIES)}
_INT64_MAX = (1 << 63) - 1
_NO_ROWS = np.empty(0, np.int64)

_Integer = Annotated[int, msgspec.Meta(ge=-_INT64_MAX - 1, le=_INT64_MAX)]
_Sequence = Annotated[int, msgspec.Meta(ge=0, le=_INT64_MAX - 1)]
_Revision = Annotated[int, msgspec.Meta(ge=0, le=MAX_REVISION)]


class Reading(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A reading of the common form, its fields in the order in which they are usually written.

    Every field has a type, for what is overwritten by a field of the same name has to be JSON as well.
    """

    source: str
    metric: str
    time: _Integer | str
    value: float | None
    tenant: str = DEFAULT_TENANT
    attributes: dict[str, str] | None = None
    producer: str | None = None
    epoch: _Integer = 0
    sequence: _Sequence | None = None
    quality: str = _GOOD
    revision: _Revision = 0


Document = Reading | list[Reading]

_decode: Callable[[bytes], Document] = msgspec.json.Decoder(Document).decode


class Uncommon(Exception):  # noqa: N818 - reads as what happened
    """Readings cannot be read as columns."""


class JsonHeaders(Memo[bytes, int]):
    """Maps what names a reading, as a JSON array, to its series and producer; reads what is new."""

    def __init__(self, names: Names) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, header: bytes) -> int:
        packed = read_header(header, self._names)
        return packed if packed == UNKNOWN else self.remember(header, packed, len(header))


class JsonReader:
    """Reads the JSON messages of a chunk."""

    def __init__(self, names: Names, limits: Limits, key_producers: KeyProducers) -> None:
        self._limits = limits
        self._headers = JsonHeaders(names)
        self._key_producers = key_producers

    def read(self, messages: Messages, rows: Int64) -> tuple[Columns, Int64]:
        """Read the messages ``rows``.

        Returns the readings, and the rows of messages that have to be read exactly.
        """
        values = [messages.values[row] or b"" for row in rows.tolist()]
        read: list[Columns] = []
        odd = [_NO_ROWS]
        for portion in _portions(values):
            documents, fits = _documents(values[portion])
            odd.append(rows[portion][~fits])
            pending = [(documents, rows[portion][fits])]
            while pending:
                documents, taken = pending.pop()
                try:
                    read.append(self._columns(documents, messages, taken))
                except Uncommon:
                    if _are_few(documents):
                        odd.append(taken)
                    else:
                        middle = len(documents) // 2
                        pending.append((documents[middle:], taken[middle:]))
                        pending.append((documents[:middle], taken[:middle]))
        return Columns.concat(read), np.concatenate(odd)

    def _columns(self, documents: list[Document], messages: Messages, rows: Int64) -> Columns:
        """Return the readings of some messages. Raises :class:`Uncommon`."""
        readings, counts = self._flat(documents)
        row = np.repeat(rows, counts)
        count = len(readings)
        series, producer = self._series_and_producers(readings, messages, row)
        sequence = [UNNUMBERED if r.sequence is None else r.sequence for r in readings]
        return Columns(
            series=series.astype(np.int32),
            time_us=_times([r.time for r in readings]),
            value=np.array([r.value for r in readings], np.float64),  # None becomes NaN
            quality=_qualities([r.quality for r in readings]),
            revision=np.fromiter([r.revision for r in readings], np.int32, count),
            producer=producer.astype(np.int32),
            epoch=np.fromiter([r.epoch for r in readings], np.int64, count),
            sequence=np.where(producer == ANONYMOUS, UNNUMBERED, np.fromiter(sequence, np.int64, count)),
            offset=messages.offsets[row],
            index=places(counts).astype(np.int32),
            stamp_ms=messages.timestamps_ms[row],
        )

    def _flat(self, documents: list[Any]) -> tuple[list[Reading], Int64]:
        """Return the readings of all messages, and how many each has. Raises :class:`Uncommon`."""
        if set(map(type, documents)) == {Reading}:
            return documents, np.ones(len(documents), np.int64)
        arrays = [each if type(each) is list else [each] for each in documents]
        counts = np.fromiter(map(len, arrays), np.int64, len(arrays))
        if not 0 < counts.min(initial=1) <= counts.max(initial=1) <= self._limits.max_readings_per_message:
            raise Uncommon
        return list(chain.from_iterable(arrays)), counts

    def _series_and_producers(
        self, readings: list[Reading], messages: Messages, rows: Int64
    ) -> tuple[Int64, Int64]:
        named = [(r.tenant, r.source, r.metric, r.attributes, r.producer) for r in readings]
        headers = map(self._headers.__getitem__, map(orjson.dumps, named))
        packed = np.fromiter(headers, np.int64, len(named))
        if (packed == UNKNOWN).any():
            raise Uncommon
        series, producer = unpack(packed)
        producer = self._key_producers.complete(producer, rows, messages.keys)
        if (producer == UNKNOWN).any():
            raise Uncommon
        return series, producer


def _are_few(documents: list[Document]) -> bool:
    if len(documents) == 1:
        return True
    return len(documents) <= FEW_READINGS and list not in set(map(type, documents))


def _portions(values: Sequence[bytes]) -> Iterator[slice]:
    """Cut messages into parts of about ``PORTION_BYTES``."""
    number = np.cumsum(np.fromiter(map(len, values), np.int64, len(values))) // PORTION_BYTES
    ends = [*(np.flatnonzero(np.diff(number)) + 1).tolist(), len(values)]
    yield from map(slice, [0, *ends], ends)


def _documents(values: Sequence[bytes]) -> tuple[list[Document], Bools]:
    """Decode messages; return those that are of the common form, and which they are."""
    try:
        return list(map(_decode, values)), np.ones(len(values), np.bool_)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        found = list(map(_decode_or_none, values))
    fits = np.fromiter((document is not None for document in found), np.bool_, len(found))
    return [document for document in found if document is not None], fits


def _decode_or_none(value: bytes) -> Document | None:
    try:
        return _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _times(column: Sequence[Any]) -> Int64:
    kinds = set(map(type, column))
    if kinds == {int}:
        return np.fromiter(column, np.int64, len(column))
    texts = [time for time in column if type(time) is str]
    try:
        parsed_us = parse_all_us(texts)
    except ValueError as refused:
        raise Uncommon from refused
    if len(texts) == len(column):
        return parsed_us
    times_us = np.fromiter((0 if type(time) is str else time for time in column), np.int64, len(column))
    times_us[[type(time) is str for time in column]] = parsed_us
    return times_us


def _qualities(column: list[str]) -> Int16:
    if column.count(_GOOD) == len(column):
        return np.zeros(len(column), np.int16)
    try:
        return np.fromiter(map(_QUALITY.__getitem__, column), np.int16, len(column))
    except KeyError as refused:
        raise Uncommon from refused
