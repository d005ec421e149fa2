"""One message of any encoding, read exactly: the reference, and the way of whatever is not common."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
from streams.core.batch import UNNUMBERED, Messages
from streams.core.limits import Limits
from streams.core.names import Names
from streams.core.rejection import MAX_READING_PAYLOAD_BYTES, WHOLE_RECORD, Reason, Refused, Rejection
from streams.core.wire import avro, json_exact
from streams.core.wire.rows import Row

ResolveSchemaId = Callable[[int], bytes | None]
"""Returns the fingerprint of the schema that has this number in the registry, or None."""

JSON_BEGINS = b"{["
_JSON_SPACE = b" \t\r\n"


def read_message(
    messages: Messages,
    message: int,
    names: Names,
    limits: Limits,
    resolve_schema_id: ResolveSchemaId | None = None,
) -> Iterator[Row | Rejection]:
    """Yield each reading of one message, or why it or the whole message is refused."""
    value, key, offset = messages.values[message], messages.keys[message], int(messages.offsets[message])
    try:
        if not value:
            raise Refused(Reason.EMPTY, "no value")
        if len(value) > limits.max_message_bytes:
            raise Refused(Reason.TOO_LARGE, f"{len(value)} bytes, {limits.max_message_bytes} are allowed")
        if value.lstrip(_JSON_SPACE)[:1] in (b"{", b"["):
            yield from _read_json(value, names, limits, message, offset, key)
            return
        schema, start = _schema_of(value, resolve_schema_id)
        reader = avro.AvroReader(value, start)
        if schema is READING_V1:
            reading_header = avro.read_reading_header(reader, names, limits)
            yield avro.read_reading(reader, reading_header, names, message, key)
        else:
            batch_header = avro.read_batch_header(reader, names, limits)
            body = avro.read_batch_body(reader, batch_header, limits)
            yield from _batch_readings(batch_header, body, names, message, offset)
    except Refused as refused:
        yield Rejection.of(offset, WHOLE_RECORD, refused.reason, str(refused), value or b"")


def _read_json(
    value: bytes, names: Names, limits: Limits, message: int, offset: int, key: bytes | None
) -> Iterator[Row | Rejection]:
    for place, reading in enumerate(json_exact.load(value, limits)):
        yield json_exact.read_or_reject(reading, names, message, place, offset, key)


def _batch_readings(
    header: avro.BatchHeader, body: avro.BatchBody, names: Names, message: int, offset: int
) -> Iterator[Row | Rejection]:
    entries = len(header.series)
    for place, series in enumerate(body.series_index):
        if not 0 <= series < entries:
            document = {
                "producer": names.producers[header.producer],
                "series_index": series,
                "time": body.time_us[place],
                "value": body.value[place],
            }
            detail = f"series_index {series}, the dictionary has {entries} entries"
            payload = orjson.dumps(document)
            yield Rejection.of(offset, place, Reason.SHAPE, detail, payload, MAX_READING_PAYLOAD_BYTES)
            continue
        numbered = body.first_sequence != UNNUMBERED
        yield Row(
            message=message,
            place=place,
            series=header.series[series],
            time_us=body.time_us[place],
            value=body.value[place],
            quality=body.quality[place],
            revision=body.revision[place],
            producer=header.producer,
            epoch=body.epoch,
            sequence=body.first_sequence + place if numbered else UNNUMBERED,
        )


def _schema_of(value: bytes, resolve_schema_id: ResolveSchemaId | None) -> tuple[Schema, int]:
    """Return the schema of an Avro message and where its record begins."""
    if value.startswith(SINGLE_OBJECT_MARKER):
        start = SINGLE_OBJECT_PREFIX_BYTES
        fingerprint: bytes | None = value[len(SINGLE_OBJECT_MARKER) : start]
        what = f"fingerprint {value[len(SINGLE_OBJECT_MARKER) : start].hex()}"
    elif value.startswith(CONFLUENT_MARKER) and len(value) >= CONFLUENT_PREFIX_BYTES:
        if resolve_schema_id is None:
            raise Refused(Reason.UNKNOWN_SCHEMA, "a schema number, but no schema registry is configured")
        start = CONFLUENT_PREFIX_BYTES
        number = int.from_bytes(value[len(CONFLUENT_MARKER) : start], "big")
        fingerprint = resolve_schema_id(number)
        what = f"schema number {number}"
    else:
        raise Refused(Reason.UNKNOWN_ENCODING, f"begins with {value[:2].hex()}: neither Avro nor JSON")
    schema = ALLOWED.get(fingerprint) if fingerprint else None
    if schema is None:
        raise Refused(Reason.UNKNOWN_SCHEMA, f"{what} is not a schema of this program")
    return schema, start
