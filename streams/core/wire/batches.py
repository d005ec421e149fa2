"""Batches read in lockstep: the common form of ``ReadingBatch``, all messages of a chunk at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.registry import QUALITIES
from streams.core.batch import COLUMN_TYPES, UNNUMBERED, Bools, Columns, Int32, Int64, Messages
from streams.core.limits import Limits
from streams.core.names import ANONYMOUS, Names
from streams.core.rejection import Refused
from streams.core.wire.avro import AvroReader, read_batch_header
from streams.core.wire.lockstep import Buffer, Cursor, bounded, places
from streams.core.wire.memo import Memo
from streams.core.wire.rows import MAX_REVISION

MAX_SIZES_PER_KEY = 16

_SIZES_BYTES = 32 * MAX_SIZES_PER_KEY
_LEAST_BYTES_PER_READING = 10


@dataclass(frozen=True, slots=True)
class KnownHeader:
    """A header that was read before: its size, its producer, and the table's index of each series."""

    size_bytes: int
    producer: int
    series: Int32


class BatchHeaders:
    """Remembers headers by their bytes, so that each dictionary of series is read once.

    No header's bytes begin another's, so bytes that equal a header's are that header. Which sizes
    to try is remembered by message key.
    """

    def __init__(self, names: Names, limits: Limits) -> None:
        self._names = names
        self._limits = limits
        self._known: Memo[bytes, KnownHeader] = Memo()
        self._sizes: Memo[bytes | None, list[int]] = Memo()

    def find(self, value: bytes, start: int, key: bytes | None) -> KnownHeader | None:
        """Return the header that begins at ``start``; None when there is none that can be taken."""
        sizes = self._sizes.get(key)
        if sizes is None:
            sizes = self._sizes.remember(key, [], len(key or b"") + _SIZES_BYTES)
        for size in sizes:
            known = self._known.get(value[start : start + size])
            if known is not None:
                return known
        known = self._read(value, start)
        if known is not None and known.size_bytes not in sizes:
            if len(sizes) == MAX_SIZES_PER_KEY:
                sizes.clear()
            sizes.append(known.size_bytes)
        return known

    def _read(self, value: bytes, start: int) -> KnownHeader | None:
        reader = AvroReader(value, start)
        try:
            header = read_batch_header(reader, self._names, self._limits)
        except Refused:
            return None
        series = np.array(header.series, np.int32)
        known = KnownHeader(reader.position - start, header.producer, series)
        return self._known.remember(value[start : reader.position], known, known.size_bytes + series.nbytes)


class BatchReader:
    """Reads the ``ReadingBatch`` messages of a chunk."""

    def __init__(self, names: Names, limits: Limits) -> None:
        self._limits = limits
        self._headers = BatchHeaders(names, limits)

    def read(self, buffer: Buffer, rows: Int64, start: Int64, messages: Messages) -> tuple[Columns, Int64]:
        """Read the records that begin at ``start`` in the messages ``rows``.

        Returns the readings, and the rows of messages that have to be read exactly.
        """
        if not len(rows):
            return Columns.empty(), rows
        found = [
            self._headers.find(messages.values[row] or b"", begin, messages.keys[row])
            for row, begin in zip(rows.tolist(), (start - buffer.begin[rows]).tolist(), strict=True)
        ]
        headers = [header for header in found if header is not None]
        known = np.fromiter((header is not None for header in found), np.bool_, len(found))
        chosen = rows[known]
        sizes = np.array([header.size_bytes for header in headers], np.int64)
        cursor = Cursor(buffer, start[known] + sizes, buffer.end[chosen])
        bodies = _read_bodies(cursor, headers, self._limits)
        bodies.per_message |= {"offset": messages.offsets[chosen], "stamp_ms": messages.timestamps_ms[chosen]}
        good = cursor.finish()
        return bodies.columns(headers, good), np.concatenate((rows[~known], chosen[~good]))


@dataclass(slots=True)
class _Bodies:
    """What several batches hold, by column: ``counts`` says how many readings each message has.

    ``entry`` is a reading's position in the dictionaries of all messages, end to end.
    """

    counts: Int64
    entry: Int64
    per_message: dict[str, npt.NDArray[Any]]
    per_reading: dict[str, npt.NDArray[Any]]

    def columns(self, headers: list[KnownHeader], good: Bools) -> Columns:
        """Return the readings of the ``good`` messages."""
        kept = np.repeat(good, self.counts)
        counts = self.counts[good]
        read = {name: column[kept] for name, column in self.per_reading.items()}
        read |= {name: np.repeat(column[good], counts) for name, column in self.per_message.items()}
        dictionaries = np.concatenate([header.series for header in headers] or [np.empty(0, np.int32)])
        read["series"] = dictionaries[self.entry[kept]]
        read["sequence"] += np.where(read["sequence"] == UNNUMBERED, 0, read["index"])
        return Columns(**{name: read[name].astype(dtype, copy=False) for name, dtype in COLUMN_TYPES.items()})


def _read_bodies(cursor: Cursor, headers: list[KnownHeader], limits: Limits) -> _Bodies:
    """Read what follows the headers; what cannot be is marked at the cursor."""
    producer = np.array([header.producer for header in headers], np.int32)
    entries = np.array([len(header.series) for header in headers], np.int64)
    epoch, sequence = cursor.longs(), cursor.sequences()
    counts = _counts(cursor, limits)
    series_index = cursor.long_arrays(counts)
    cursor.mark((series_index < 0) | (series_index >= np.repeat(entries, counts)), counts)
    return _Bodies(
        counts=counts,
        entry=np.repeat(np.cumsum(entries) - entries, counts) + series_index,
        per_message={
            "producer": producer,
            "epoch": epoch,
            "sequence": np.where(producer == ANONYMOUS, UNNUMBERED, sequence),
        },
        per_reading={
            "time_us": cursor.long_arrays(counts),
            "value": cursor.double_arrays(counts),
            "quality": _optional_arrays(cursor, counts, len(QUALITIES) - 1),
            "revision": _optional_arrays(cursor, counts, MAX_REVISION),
            "index": places(counts),
        },
    )


def _counts(cursor: Cursor, limits: Limits) -> Int64:
    """Return how many readings each message has; 0 where that cannot be, so nothing is read of it."""
    counts = np.abs(cursor.peek_longs())
    possible = (counts > 0) & (counts <= limits.max_readings_per_message)
    possible &= counts * _LEAST_BYTES_PER_READING <= cursor.left()
    cursor.require(possible)
    return np.where(possible, counts, 0)


def _optional_arrays(cursor: Cursor, counts: Int64, largest: int) -> Int64:
    """Read a union of null and an array; null stands for zeros, ``INVALID`` for what is out of range."""
    given = cursor.present()
    numbers = np.zeros(int(counts.sum()), np.int64)
    if given.any():
        part = cursor.at(given)
        read = part.long_arrays(counts[given])
        cursor.rejoin(given, part)
        numbers[np.repeat(given, counts)] = bounded(read, largest)
    return numbers
