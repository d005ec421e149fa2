"""The schemas this program reads and writes, known by the fingerprint of their canonical form.

A message in Avro's single-object encoding begins with ``C3 01`` and the writer schema's CRC-64-AVRO
fingerprint, least byte first; one in Confluent's wire format with ``00`` and the schema's number in
a registry, most byte first. Only the schemas of ``ALLOWED`` are ever decoded as readings.

Source: Apache Avro 1.12 specification, "Single object encoding" and "Schema fingerprints".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from fastavro import schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form

SINGLE_OBJECT_MARKER = b"\xc3\x01"
SINGLE_OBJECT_PREFIX_BYTES = 10
CONFLUENT_MARKER = b"\x00"
CONFLUENT_PREFIX_BYTES = 5

_AVRO_DIR = Path(__file__).resolve().parent / "avro"


def avro_fingerprint(schema: str | list[Any] | dict[str, Any]) -> bytes:
    """Return the eight bytes that stand for an Avro schema in single-object encoding.

    Two schemas that differ in documentation, defaults or layout alone have the same ones.

    >>> avro_fingerprint("null").hex()
    '8a8f25cce724dd63'
    """
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


@dataclass(frozen=True, slots=True)
class Schema:
    """One version of one record type. ``parsed`` is fastavro's form of it."""

    name: str
    version: int
    text: str
    parsed: Any
    fingerprint: bytes

    @staticmethod
    def load(name: str, version: int) -> Schema:
        """Read ``avro/<name>.v<version>.avsc``."""
        text = (_AVRO_DIR / f"{name}.v{version}.avsc").read_text(encoding="utf-8")
        definition = json.loads(text)
        return Schema(name, version, text, parse_schema(definition), avro_fingerprint(definition))

    @property
    def prefix(self) -> bytes:
        """The ten bytes that a message of this schema begins with in single-object encoding."""
        return SINGLE_OBJECT_MARKER + self.fingerprint

    def write(self, fields: Mapping[str, Any]) -> bytes:
        """Return a record as a message in single-object encoding."""
        message = BytesIO()
        message.write(self.prefix)
        schemaless_writer(message, self.parsed, fields)
        return message.getvalue()

    def read(self, message: bytes, what: str) -> dict[str, Any]:
        """Return the fields of such a message by name. Raises ValueError where it is not ``what``."""
        if not message.startswith(self.prefix):
            raise ValueError(f"the message does not begin as {what} does")
        body = BytesIO(message[SINGLE_OBJECT_PREFIX_BYTES:])
        return cast("dict[str, Any]", schemaless_reader(body, self.parsed, None))


READING_V1 = Schema.load("reading", 1)
READING_BATCH_V1 = Schema.load("reading_batch", 1)
DEAD_LETTER_V1 = Schema.load("dead_letter", 1)
ROLLUP_V1 = Schema.load("rollup", 1)
ANOMALY_V1 = Schema.load("anomaly", 1)

ALLOWED: dict[bytes, Schema] = {schema.fingerprint: schema for schema in (READING_V1, READING_BATCH_V1)}
"""The schemas of readings, by fingerprint."""

QUALITIES: tuple[str, ...] = ("good", "uncertain", "bad")
"""Names of the qualities 0, 1 and 2."""
