"""The schemas and the fingerprints by which they are known."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form

from schemas.registry import (
    ALLOWED,
    DEAD_LETTER_V1,
    READING_BATCH_V1,
    READING_V1,
    ROLLUP_V1,
    Schema,
    avro_fingerprint,
)

PINNED = {
    "reading": "cd8e749f2e5aa95c",
    "reading_batch": "1f32365718775c8f",
    "dead_letter": "4d660cfad4376136",
    "rollup": "797cfb3bb3062ead",
}
"""Producers carry these in every message: a schema that changes them is a new version."""

OF_READINGS = [READING_V1, READING_BATCH_V1]

SCHEMAS = pytest.mark.parametrize(
    "schema", [*OF_READINGS, DEAD_LETTER_V1, ROLLUP_V1], ids=lambda schema: schema.name
)


@SCHEMAS
def test_the_fingerprint_of_a_published_schema_never_changes(schema: Schema) -> None:
    assert schema.fingerprint.hex() == PINNED[schema.name]
    assert schema.prefix == b"\xc3\x01" + schema.fingerprint


def test_readings_and_nothing_else_are_decoded_as_readings() -> None:
    assert list(ALLOWED.items()) == [(schema.fingerprint, schema) for schema in OF_READINGS]


def test_the_fingerprint_is_avros_own() -> None:
    # The value that the specification's algorithm gives for "null", least byte first.
    assert avro_fingerprint("null") == (0x63DD24E7CC258F8A).to_bytes(8, "little")
    assert fingerprint(to_parsing_canonical_form("null"), "CRC-64-AVRO") == avro_fingerprint("null").hex()


@SCHEMAS
def test_documentation_does_not_change_the_fingerprint_but_a_field_does(schema: Schema) -> None:
    definition = json.loads(schema.text)
    assert avro_fingerprint({**definition, "doc": "told differently"}) == schema.fingerprint

    definition["fields"].append({"name": "more", "type": "int"})
    assert avro_fingerprint(definition) not in ALLOWED


@SCHEMAS
def test_every_record_enum_and_field_is_documented(schema: Schema) -> None:
    undocumented = [part["name"] for part in _named_parts(json.loads(schema.text)) if not part.get("doc")]

    assert undocumented == []


@SCHEMAS
def test_times_carry_their_logical_type(schema: Schema) -> None:
    (time,) = (field for field in json.loads(schema.text)["fields"] if field["name"] == "time")

    assert '"timestamp-mi' in json.dumps(time)


def _named_parts(part: Any) -> list[dict[str, Any]]:
    if isinstance(part, list):
        return [found for item in part for found in _named_parts(item)]
    if not isinstance(part, dict):
        return []
    own = [part] if "name" in part else []
    return own + [
        found for name in ("type", "items", "values", "fields") for found in _named_parts(part.get(name))
    ]
