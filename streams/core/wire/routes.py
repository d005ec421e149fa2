"""Messages told apart by their first bytes, all messages of a chunk at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schemas.registry import (
    ALLOWED,
    CONFLUENT_MARKER,
    CONFLUENT_PREFIX_BYTES,
    READING_BATCH_V1,
    READING_V1,
    SINGLE_OBJECT_PREFIX_BYTES,
    Schema,
)
from streams.core.batch import Bools, Int64
from streams.core.wire.exact import JSON_BEGINS, ResolveSchemaId
from streams.core.wire.lockstep import Buffer

_WORD_BYTES = 8


@dataclass(frozen=True, slots=True)
class Routes:
    """Which messages are read in which way, as rows of the chunk; ``start`` is where a record begins."""

    readings: Int64
    batches: Int64
    json: Int64
    others: Int64
    start: Int64


def find_routes(buffer: Buffer, resolve_schema_id: ResolveSchemaId | None) -> Routes:
    """Tell the messages of a chunk apart. What ``resolve_schema_id`` raises passes through."""
    size = buffer.end - buffer.begin
    first = buffer.octets[buffer.begin]
    start = buffer.begin + SINGLE_OBJECT_PREFIX_BYTES
    of_schema = {schema.name: _single_objects(buffer, schema, size) for schema in ALLOWED.values()}
    framed = (first == CONFLUENT_MARKER[0]) & (size >= CONFLUENT_PREFIX_BYTES)
    if resolve_schema_id is not None and framed.any():
        numbers = (buffer.words[buffer.begin] >> np.uint64(8)).astype(np.uint32).byteswap()
        for number in np.unique(numbers[framed]).tolist():
            schema = ALLOWED.get(resolve_schema_id(number) or b"")
            if schema is not None:
                of_schema[schema.name] |= framed & (numbers == number)
        start[framed] = buffer.begin[framed] + CONFLUENT_PREFIX_BYTES
    json = find_json(buffer)
    readings, batches = of_schema[READING_V1.name], of_schema[READING_BATCH_V1.name]
    return Routes(
        readings=np.flatnonzero(readings),
        batches=np.flatnonzero(batches),
        json=np.flatnonzero(json),
        others=np.flatnonzero(~(readings | batches | json)),
        start=start,
    )


def find_json(buffer: Buffer) -> Bools:
    """Return which messages are JSON."""
    first = buffer.octets[buffer.begin]
    json: Bools = ((first == JSON_BEGINS[0]) | (first == JSON_BEGINS[1])) & (buffer.end > buffer.begin)
    return json


def _single_objects(buffer: Buffer, schema: Schema, size: Int64) -> Bools:
    head, tail = schema.prefix[:_WORD_BYTES], schema.prefix[_WORD_BYTES:]
    begins: Bools = buffer.words[buffer.begin] == np.uint64(int.from_bytes(head, "little"))
    if begins.any():
        begins &= size >= SINGLE_OBJECT_PREFIX_BYTES
        for place, octet in enumerate(tail, _WORD_BYTES):
            begins &= buffer.octets[np.minimum(buffer.begin + place, buffer.beyond)] == octet
    return begins
