"""Single readings read in lockstep: the common form of ``Reading``, all messages of a chunk at once."""

from __future__ import annotations

import numpy as np

from schemas.registry import QUALITIES
from streams.core.batch import UNNUMBERED, Columns, Int64, Messages
from streams.core.limits import Limits
from streams.core.names import ANONYMOUS, Names
from streams.core.rejection import Refused
from streams.core.wire.avro import AvroReader, read_reading_header
from streams.core.wire.lockstep import Buffer, Cursor, bounded
from streams.core.wire.memo import Memo
from streams.core.wire.rows import MAX_REVISION

UNKNOWN = -1
"""Stands for bytes that cannot be taken as what they should be: they are read exactly."""

_BY_KEY = -1
_PRODUCER_BITS = 32


class ReadingHeaders(Memo[bytes, int]):
    """Maps the bytes of a header to its series and producer, both in one number; reads what is new.

    ``UNKNOWN`` stands for bytes that are no header.
    """

    def __init__(self, names: Names, limits: Limits) -> None:
        super().__init__()
        self._names = names
        self._limits = limits

    def __missing__(self, header: bytes) -> int:
        reader = AvroReader(header, 0)
        try:
            series, producer = read_reading_header(reader, self._names, self._limits)
            reader.end()
        except Refused:
            return UNKNOWN
        packed = series << _PRODUCER_BITS | (0 if producer is None else producer + 1)
        return self.remember(header, packed, len(header))


class KeyProducers(Memo[bytes | None, int]):
    """Maps a message key to the producer it stands for; ``UNKNOWN`` where it cannot be a name."""

    def __init__(self, names: Names) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, key: bytes | None) -> int:
        try:
            producer = self._names.producer_of_key(key)
        except Refused:
            return UNKNOWN
        return self.remember(key, producer, len(key or b""))


def read_readings(
    buffer: Buffer,
    rows: Int64,
    start: Int64,
    messages: Messages,
    headers: ReadingHeaders,
    key_producers: KeyProducers,
    limits: Limits,
) -> tuple[Columns, Int64]:
    """Read the ``Reading`` bodies that begin at ``start`` in the messages ``rows``.

    Returns the readings, and the rows of messages that have to be read exactly.
    """
    if not len(rows):
        return Columns.empty(), rows
    cursor = Cursor(buffer, start, buffer.end[rows])
    _skip_header(cursor, limits)
    ends = np.minimum(cursor.position, buffer.end[rows])
    slices = map(slice, start.tolist(), ends.tolist())
    packed = np.fromiter(map(headers.__getitem__, map(buffer.data.__getitem__, slices)), np.int64, len(rows))
    cursor.require(packed != UNKNOWN)
    producer = (packed & ((1 << _PRODUCER_BITS) - 1)) - 1
    if (by_key := producer == _BY_KEY).any():
        keys = [messages.keys[row] for row in rows[by_key].tolist()]
        producer[by_key] = np.fromiter(map(key_producers.__getitem__, keys), np.int64, len(keys))
        cursor.require(producer != UNKNOWN)

    epoch = cursor.longs()
    sequence = cursor.sequences()
    time_us = cursor.longs()
    value = cursor.doubles()
    quality = bounded(cursor.longs(), len(QUALITIES) - 1)
    revision = bounded(cursor.longs(), MAX_REVISION)
    good = cursor.finish()
    columns = Columns(
        series=(packed >> _PRODUCER_BITS).astype(np.int32),
        time_us=time_us,
        value=value,
        quality=quality.astype(np.int16),
        revision=revision.astype(np.int32),
        producer=producer.astype(np.int32),
        epoch=epoch,
        sequence=np.where(producer == ANONYMOUS, UNNUMBERED, sequence),
        offset=messages.offsets[rows],
        index=np.zeros(len(rows), np.int32),
        stamp_ms=messages.timestamps_ms[rows],
    )
    if good.all():
        return columns, rows[:0]
    return columns.take(good), rows[~good]


def _skip_header(cursor: Cursor, limits: Limits) -> None:
    for _tenant_source_metric in range(3):
        cursor.skip_texts()
    described = cursor.present()
    if described.any():
        part = cursor.at(described)
        _skip_attributes(part, limits)
        cursor.rejoin(described, part)
    named = cursor.present()
    if named.any():
        part = cursor.at(named)
        part.skip_texts()
        cursor.rejoin(named, part)


def _skip_attributes(cursor: Cursor, limits: Limits) -> None:
    """Pass a map of strings that is one block."""
    counts = cursor.longs()
    cursor.require((counts > 0) & (counts <= limits.max_attributes))
    counts = np.where(cursor.good, counts, 0)
    for nth in range(int(counts.max(initial=0))):
        more = counts > nth
        part = cursor.at(more)
        part.skip_texts()
        part.skip_texts()
        cursor.rejoin(more, part)
    cursor.require(cursor.longs() == 0)
