"""The exact reader takes what the specification allows, and reads it as another library does."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from fastavro import schemaless_reader
from hypothesis import given
from hypothesis import strategies as st

from schemas.registry import QUALITIES, READING_BATCH_V1, READING_V1, SINGLE_OBJECT_PREFIX_BYTES, Schema
from streams.core.batch import UNNUMBERED
from streams.core.limits import Limits
from streams.core.names import Names
from streams.core.rejection import Reason, Refused
from streams.core.wire.avro import (
    AvroReader,
    read_batch_body,
    read_batch_header,
    read_reading,
    read_reading_header,
)
from tests.strategies import INT64, arrays, batch_messages, damaged, long, plain_longs, reading_messages, text

LIMITS = Limits()


def read_by_fastavro(message: bytes, schema: Schema) -> dict[str, Any]:
    rest = io.BytesIO(message[SINGLE_OBJECT_PREFIX_BYTES:])
    record = schemaless_reader(rest, plain_longs(schema.text), None)
    assert isinstance(record, dict)
    assert rest.read() == b""
    return record


def refusal(data: bytes, method: str) -> Reason:
    with pytest.raises(Refused) as refused:
        getattr(AvroReader(data, 0), method)()
    return refused.value.reason


@given(INT64, st.integers(1, 10))
def test_a_number_may_take_more_bytes_than_it_needs(number: int, width: int) -> None:
    encoded = long(number, width)
    reader = AvroReader(encoded + b"\x00", 0)

    assert reader.long() == number
    assert reader.position == len(encoded)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\xff" * 9 + b"\x02", b"\xff" * 10 + b"\x01"])
def test_a_number_that_does_not_end_or_does_not_fit_is_refused(data: bytes) -> None:
    assert refusal(data, "long") is Reason.UNDECODABLE


@pytest.mark.parametrize("data", [b"", b"\x04a", b"\x01", b"\x02\xff", long(1 << 62) + b"abc"])
def test_text_that_is_cut_negative_or_not_utf8_is_refused(data: bytes) -> None:
    assert refusal(data, "text") is Reason.UNDECODABLE


@pytest.mark.parametrize("branch", [-1, 2, 1 << 40])
def test_a_union_of_two_has_two_branches(branch: int) -> None:
    assert refusal(long(branch), "present") is Reason.UNDECODABLE


@given(st.data())
def test_an_array_may_come_in_blocks(data: st.DataObject) -> None:
    numbers = data.draw(st.lists(INT64, max_size=10))
    encoded = data.draw(arrays([long(number) for number in numbers], plain=False))
    reader = AvroReader(encoded, 0)

    assert [reader.long() for _ in reader.items(10, Reason.TOO_MANY_READINGS)] == numbers
    reader.end()


@pytest.mark.parametrize("count", [4, 1 << 62, -4, -(1 << 62), -(1 << 63)])
def test_a_count_over_the_limit_is_refused_before_an_item_is_read(count: int) -> None:
    reader = AvroReader(long(count) + long(0) + b"\x00" * 9, 0)
    with pytest.raises(Refused) as refused:
        next(reader.items(3, Reason.TOO_MANY_READINGS))

    assert refused.value.reason is Reason.TOO_MANY_READINGS


def test_the_limit_holds_for_all_blocks_together() -> None:
    reader = AvroReader((long(2) + text("a") + text("b")) * 2 + long(0), 0)
    with pytest.raises(Refused):
        for _ in reader.items(3, Reason.BAD_ATTRIBUTES):
            reader.text()


@given(reading_messages() | damaged(reading_messages()))
def test_a_reading_that_is_taken_is_what_another_library_reads(message: bytes) -> None:
    names = Names(LIMITS)
    reader = AvroReader(message, SINGLE_OBJECT_PREFIX_BYTES)
    try:
        header = read_reading_header(reader, names, LIMITS)
        row = read_reading(reader, header, names, 0, None)
    except Refused:
        return
    if row.quality < 0 or not message.startswith(READING_V1.prefix):
        return
    told = read_by_fastavro(message, READING_V1)
    key = names.series.keys[row.series]
    numbered = bool(told["producer"]) and told["sequence"] is not None

    assert (key.tenant, key.source, key.metric) == (told["tenant"], told["source"], told["metric"])
    assert dict(key.attributes) == (told["attributes"] or {})
    assert names.producers[row.producer] == (told["producer"] or "")
    assert (row.epoch, row.time_us) == (told["epoch"], told["time"])
    assert row.sequence == (told["sequence"] if numbered else UNNUMBERED)
    assert row.value == told["value"] or math.isnan(row.value)
    assert QUALITIES[row.quality] == told["quality"]
    assert row.revision in (told["revision"], -1)


@given(batch_messages() | damaged(batch_messages()))
def test_a_batch_that_is_taken_is_what_another_library_reads(message: bytes) -> None:
    names = Names(LIMITS)
    reader = AvroReader(message, SINGLE_OBJECT_PREFIX_BYTES)
    try:
        header = read_batch_header(reader, names, LIMITS)
        body = read_batch_body(reader, header, LIMITS)
    except Refused:
        return
    if min(body.quality) < 0 or not message.startswith(READING_BATCH_V1.prefix):
        return
    told = read_by_fastavro(message, READING_BATCH_V1)
    keys = [names.series.keys[index] for index in header.series]

    assert [(k.source, k.metric) for k in keys] == [(ref["source"], ref["metric"]) for ref in told["series"]]
    assert [dict(key.attributes) for key in keys] == [ref["attributes"] or {} for ref in told["series"]]
    assert names.producers[header.producer] == told["producer"]
    assert body.epoch == told["epoch"]
    assert body.series_index == told["series_index"]
    assert body.time_us == told["time"]
    assert str(body.value) == str(told["value"])
    assert [QUALITIES[number] for number in body.quality] == (told["quality"] or ["good"] * len(body.value))
