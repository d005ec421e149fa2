"""Single readings read in lockstep: the common form of ``Reading``, all messages of a chunk at once."""

from __future__ import annotations

import numpy as np

from schemas.registry import QUALITIES
from streams.core.batch import UNNUMBERED, Columns, Int64, Messages
from streams.core.limits import Limits
from streams.core.names import ANONYMOUS, Names
from streams.core.rejection import Refused
from streams.core.wire.avro import AvroReader, read_reading_header
from streams.core.wire.headers import UNKNOWN, KeyProducers, pack, unpack
from streams.core.wire.lockstep import Buffer, Cursor, bounded
from streams.core.wire.memo import Memo
from streams.core.wire.rows import MAX_REVISION


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
        return self.remember(header, pack(series, producer), len(header))


class ReadingReader:
    """Reads the ``Reading`` messages of a chunk."""

    def __init__(self, names: Names, limits: Limits, key_producers: KeyProducers) -> None:
        self._limits = limits
        self._headers = ReadingHeaders(names, limits)
        self._key_producers = key_producers

    def read(self, buffer: Buffer, rows: Int64, start: Int64, messages: Messages) -> tuple[Columns, Int64]:
        """Read the records that begin at ``start`` in the messages ``rows``.

        Returns the readings, and the rows of messages that have to be read exactly.
        """
        if not len(rows):
            return Columns.empty(), rows
        cursor = Cursor(buffer, start, buffer.end[rows])
        _skip_header(cursor, self._limits)
        header_end = np.minimum(cursor.position, buffer.end[rows])
        headers = map(buffer.data.__getitem__, map(slice, start.tolist(), header_end.tolist()))
        packed = np.fromiter(map(self._headers.__getitem__, headers), np.int64, len(rows))
        cursor.require(packed != UNKNOWN)
        series, named = unpack(packed)
        producer = self._key_producers.complete(named, rows, messages.keys)
        cursor.require(producer != UNKNOWN)
        epoch, sequence = cursor.longs(), cursor.sequences()
        columns = Columns(
            series=series.astype(np.int32),
            time_us=cursor.longs(),
            value=cursor.doubles(),
            quality=bounded(cursor.longs(), len(QUALITIES) - 1).astype(np.int16),
            revision=bounded(cursor.longs(), MAX_REVISION).astype(np.int32),
            producer=producer.astype(np.int32),
            epoch=epoch,
            sequence=np.where(producer == ANONYMOUS, UNNUMBERED, sequence),
            offset=messages.offsets[rows],
            index=np.zeros(len(rows), np.int32),
            stamp_ms=messages.timestamps_ms[rows],
        )
        good = cursor.finish()
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
