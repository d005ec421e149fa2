"""Bytes to columns: the first stage of the way of a reading.

A chunk's messages are told apart by their first bytes and read all at once, by encoding. What is
not of the common form is read again exactly, one message at a time: both ways agree on every byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np

from streams.core.batch import Columns, Decoded, Int64, Messages
from streams.core.limits import Limits
from streams.core.names import Names
from streams.core.rejection import Rejection
from streams.core.series import SeriesTable
from streams.core.wire import json_kernel
from streams.core.wire.batches import BatchReader
from streams.core.wire.exact import ResolveSchemaId, read_message
from streams.core.wire.headers import KeyProducers
from streams.core.wire.json_arrays import JsonReader
from streams.core.wire.json_kernel import KernelReader
from streams.core.wire.lockstep import Buffer
from streams.core.wire.readings import ReadingReader
from streams.core.wire.routes import find_json, find_routes
from streams.core.wire.rows import Row, to_columns

__all__ = ["Decoder", "ResolveSchemaId"]

SMALL_CHUNK_BYTES = 2048
"""A smaller chunk is read exactly at once: numpy's cost per operation would outweigh its speed."""


class Decoder:
    """Decodes whole chunks of messages.

    ``series`` and ``producers`` name the integers in the columns it returns. ``resolve_schema_id``
    asks a schema registry, where there is one; what it raises passes through :meth:`decode`.
    Without ``native`` JSON is read as where no kernel was built.

    >>> decoder = Decoder(Limits(), SeriesTable())
    >>> value = b'{"source":"pump-1","metric":"rpm","time":"2026-01-31T12:00:00Z","value":1450}'
    >>> decoded = decoder.decode(Messages([value], [b"plc-1"], np.array([7]), np.array([1769860800000])))
    >>> decoded.columns.value.tolist(), decoder.series.keys[0].source, decoder.producers[1]
    ([1450.0], 'pump-1', 'plc-1')
    """

    def __init__(
        self,
        limits: Limits,
        series_table: SeriesTable,
        resolve_schema_id: ResolveSchemaId | None = None,
        native: bool = True,
    ) -> None:
        self._limits = limits
        self._library = json_kernel.LOADED.library if native else None
        self._resolve_schema_id = resolve_schema_id
        self._begin(series_table)

    def _begin(self, series_table: SeriesTable) -> None:
        self._names = Names(self._limits, series_table)
        key_producers = KeyProducers(self._names)
        self._batches = BatchReader(self._names, self._limits)
        self._readings = ReadingReader(self._names, self._limits, key_producers)
        self._json = JsonReader(self._names, self._limits, key_producers)
        self._kernel = self._library and KernelReader(self._library, self._names, self._limits, key_producers)

    @property
    def series(self) -> SeriesTable:
        """The series that ``Columns.series`` points into."""
        return self._names.series

    @property
    def producers(self) -> list[str]:
        """The producers that ``Columns.producer`` points into; number 0 is ``""``, nobody."""
        return self._names.producers

    def reset_if_over(self, limit: int) -> bool:
        """Forget all names when there are more than ``limit``, a long one counted as several, and say so.

        ``series`` and ``producers`` are new objects then; columns decoded before keep pointing into
        the old ones, which stay as they are. Memory is bounded when this is called between chunks.
        """
        if self._names.size <= limit:
            return False
        self._begin(SeriesTable())
        return True

    def decode(self, messages: Messages) -> Decoded:
        """Return the readings of a chunk in log order, and a rejection for everything that is none."""
        buffer = _buffer(messages.values, self._limits.max_message_bytes)
        if len(buffer.data) < SMALL_CHUNK_BYTES:
            return Decoded(*self._read_exactly(messages, range(len(messages))))
        if find_json(buffer).all():
            parts, odd = self._read_json(messages, buffer, np.arange(len(messages)))
        else:
            parts, odd = self._read_routed(messages, buffer)
        rest, rejections = self._read_exactly(messages, np.sort(odd).tolist())
        return Decoded(_in_log_order([*parts, rest]), rejections)

    def _read_routed(self, messages: Messages, buffer: Buffer) -> tuple[list[Columns], Int64]:
        """Read messages of any encoding; return their readings, and the rows to be read exactly."""
        route = find_routes(buffer, self._resolve_schema_id)
        start = route.start
        batches, odd_batches = self._batches.read(buffer, route.batches, start[route.batches], messages)
        readings, odd_readings = self._readings.read(buffer, route.readings, start[route.readings], messages)
        json, odd_json = self._read_json(messages, buffer, route.json)
        odd = np.concatenate((odd_batches, odd_readings, odd_json, route.others))
        return [batches, readings, *json], odd

    def _read_json(self, messages: Messages, buffer: Buffer, rows: Int64) -> tuple[list[Columns], Int64]:
        """Read the JSON messages ``rows``; return readings, and the rows to be read exactly."""
        read = []
        if self._kernel and len(rows):
            columns, rows = self._kernel.read(buffer, rows, messages)
            read.append(columns)
        if len(rows):
            columns, rows = self._json.read(messages, rows)
            read.append(columns)
        return read, rows

    def _read_exactly(self, messages: Messages, rows: Iterable[int]) -> tuple[Columns, list[Rejection]]:
        read: list[Row] = []
        rejections: list[Rejection] = []
        for row in rows:
            for outcome in read_message(messages, row, self._names, self._limits, self._resolve_schema_id):
                if isinstance(outcome, Row):
                    read.append(outcome)
                else:
                    rejections.append(outcome)
        return to_columns(read, messages), rejections


def _buffer(values: Sequence[bytes | None], most_bytes: int) -> Buffer:
    """Join the values of messages, with nothing in place of one that is missing or too large."""
    if all(values):
        buffer = Buffer(cast("Sequence[bytes]", values))
        if (buffer.end - buffer.begin).max(initial=0) <= most_bytes:
            return buffer
    return Buffer([value if value and len(value) <= most_bytes else b"" for value in values])


def _in_log_order(parts: Iterable[Columns]) -> Columns:
    filled = [part for part in parts if len(part)]
    columns = Columns.concat(filled)
    if len(filled) < 2:
        return columns
    return columns.take(np.lexsort((columns.index, columns.offset)))
