"""Bytes to columns: the first stage of the way of a reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from schemas.registry import (
    ALLOWED,
    CONFLUENT_MARKER,
    CONFLUENT_PREFIX_BYTES,
    READING_V1,
    SINGLE_OBJECT_MARKER,
    SINGLE_OBJECT_PREFIX_BYTES,
    Schema,
)
from streams.core.batch import UNNUMBERED, Decoded, Messages
from streams.core.limits import Limits
from streams.core.names import Names
from streams.core.rejection import WHOLE_RECORD, Reason, Refused, Rejection
from streams.core.series import SeriesTable
from streams.core.wire import avro, json_exact
from streams.core.wire.rows import Row, to_columns

ResolveSchemaId = Callable[[int], bytes | None]
"""Returns the fingerprint of the schema that has this number in the registry, or None."""

_JSON_SPACE = b" \t\r\n"


class Decoder:
    """Decodes whole chunks of messages.

    ``series`` and ``producers`` name the integers in the columns it returns. ``resolve_schema_id``
    asks a schema registry, where there is one; what it raises passes through :meth:`decode`.

    >>> import numpy as np
    >>> decoder = Decoder(Limits(), SeriesTable())
    >>> value = b'{"source":"pump-1","metric":"rpm","time":"2026-01-31T12:00:00Z","value":1450}'
    >>> decoded = decoder.decode(Messages([value], [b"plc-1"], np.array([7]), np.array([1769860800000])))
    >>> decoded.columns.value.tolist(), decoder.series.keys[0].source, decoder.producers[1]
    ([1450.0], 'pump-1', 'plc-1')
    """

    def __init__(
        self, limits: Limits, series_table: SeriesTable, resolve_schema_id: ResolveSchemaId | None = None
    ) -> None:
        self._limits = limits
        self._names = Names(limits, series_table)
        self._resolve_schema_id = resolve_schema_id

    @property
    def series(self) -> SeriesTable:
        """The series that ``Columns.series`` points into."""
        return self._names.series

    @property
    def producers(self) -> list[str]:
        """The producers that ``Columns.producer`` points into; number 0 is ``""``, nobody."""
        return self._names.producers

    def reset_if_over(self, limit: int) -> bool:
        """Forget all names when there are more than ``limit``, and say so.

        ``series`` and ``producers`` are new objects then; columns decoded before keep pointing into
        the old ones, which stay as they are. Memory is bounded when this is called between flushes.
        """
        if len(self._names) <= limit:
            return False
        self._names = Names(self._limits)
        return True

    def decode(self, messages: Messages) -> Decoded:
        """Return the readings of a chunk, and a rejection for everything that is none."""
        rows: list[Row] = []
        rejections: list[Rejection] = []
        for message, value in enumerate(messages.values):
            try:
                self._decode_message(messages, message, value, rows, rejections)
            except Refused as refused:
                rejections.append(
                    Rejection.of(
                        int(messages.offsets[message]),
                        WHOLE_RECORD,
                        refused.reason,
                        str(refused),
                        value or b"",
                    )
                )
        return Decoded(to_columns(rows, messages), rejections)

    def _decode_message(
        self,
        messages: Messages,
        message: int,
        value: bytes | None,
        rows: list[Row],
        rejections: list[Rejection],
    ) -> None:
        if not value:
            raise Refused(Reason.EMPTY, "no value")
        if len(value) > self._limits.max_message_bytes:
            raise Refused(
                Reason.TOO_LARGE, f"{len(value)} bytes, {self._limits.max_message_bytes} are allowed"
            )
        key, offset = messages.keys[message], int(messages.offsets[message])
        if value.lstrip(_JSON_SPACE)[:1] in (b"{", b"["):
            for index, reading in enumerate(json_exact.load(value, self._limits)):
                try:
                    rows.append(json_exact.read_reading(reading, self._names, message, index, key))
                except Refused as refused:
                    rejections.append(
                        Rejection.of(offset, index, refused.reason, str(refused), orjson.dumps(reading))
                    )
            return
        schema, position = self._schema_of(value)
        reader = avro.AvroReader(value, position)
        if schema is READING_V1:
            reading_header = avro.read_reading_header(reader, self._names, self._limits)
            rows.append(avro.read_reading(reader, reading_header, self._names, message, key))
            return
        header = avro.read_batch_header(reader, self._names, self._limits)
        body = avro.read_batch_body(reader, header, self._limits)
        numbered = body.first_sequence != UNNUMBERED
        for index, series in enumerate(body.series_index):
            if 0 <= series < len(header.series):
                rows.append(
                    Row(
                        message=message,
                        place=index,
                        series=header.series[series],
                        time_us=body.time_us[index],
                        value=body.value[index],
                        quality=body.quality[index],
                        revision=body.revision[index],
                        producer=header.producer,
                        epoch=body.epoch,
                        sequence=body.first_sequence + index if numbered else UNNUMBERED,
                    )
                )
            else:
                detail = f"series_index {series}, the dictionary has {len(header.series)} entries"
                document: dict[str, Any] = {
                    "producer": self.producers[header.producer],
                    "series_index": series,
                    "time": body.time_us[index],
                    "value": body.value[index],
                }
                rejections.append(Rejection.of(offset, index, Reason.SHAPE, detail, orjson.dumps(document)))

    def _schema_of(self, value: bytes) -> tuple[Schema, int]:
        if value.startswith(SINGLE_OBJECT_MARKER):
            fingerprint: bytes | None = value[2:SINGLE_OBJECT_PREFIX_BYTES]
            position, what = SINGLE_OBJECT_PREFIX_BYTES, f"fingerprint {value[2:10].hex()}"
        elif value.startswith(CONFLUENT_MARKER) and len(value) >= CONFLUENT_PREFIX_BYTES:
            if self._resolve_schema_id is None:
                raise Refused(Reason.UNKNOWN_SCHEMA, "a schema number, but no schema registry is configured")
            number = int.from_bytes(value[1:CONFLUENT_PREFIX_BYTES], "big")
            fingerprint = self._resolve_schema_id(number)
            position, what = CONFLUENT_PREFIX_BYTES, f"schema number {number}"
        else:
            raise Refused(Reason.UNKNOWN_ENCODING, f"begins with {value[:2].hex()}: neither Avro nor JSON")
        schema = ALLOWED.get(fingerprint) if fingerprint else None
        if schema is None:
            raise Refused(Reason.UNKNOWN_SCHEMA, f"{what} is not a schema of this program")
        return schema, position
