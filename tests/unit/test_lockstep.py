"""The common forms are read together, not left to be read one by one."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from schemas.encode import BatchEncoder, SeriesRef, encode_reading
from schemas.registry import READING_BATCH_V1, SINGLE_OBJECT_PREFIX_BYTES
from streams.core.batch import Columns, Int64, Messages
from streams.core.limits import Limits
from streams.core.names import Names
from streams.core.wire.batches import BatchReader
from streams.core.wire.headers import KeyProducers
from streams.core.wire.lockstep import Buffer, compact, unzigzag
from streams.core.wire.readings import ReadingReader
from tests.builders import BASE_US
from tests.strategies import long, text

LIMITS = Limits()


def messages_of(values: list[bytes]) -> Messages:
    count = len(values)
    return Messages(values, [b"gw-1"] * count, np.arange(count), np.zeros(count, np.int64))


def batches(values: list[bytes]) -> tuple[Columns, Int64]:
    buffer = Buffer(values)
    rows = np.arange(len(values))
    start = buffer.begin + SINGLE_OBJECT_PREFIX_BYTES
    return BatchReader(Names(LIMITS), LIMITS).read(buffer, rows, start, messages_of(values))


def readings(values: list[bytes]) -> tuple[Columns, Int64]:
    buffer, names = Buffer(values), Names(LIMITS)
    rows, start = np.arange(len(values)), buffer.begin + SINGLE_OBJECT_PREFIX_BYTES
    return ReadingReader(names, LIMITS, KeyProducers(names)).read(buffer, rows, start, messages_of(values))


def batch(series: int = 3, count: int = 5, **given: Any) -> bytes:
    encoder = BatchEncoder("gw-1", [SeriesRef("pump", f"metric-{n}", {"unit": "m"}) for n in range(series)])
    fields: dict[str, Any] = {
        "series_index": np.arange(count) % series,
        "time_us": BASE_US + np.arange(count),
        "value": np.arange(count) / 2,
    }
    return encoder.encode(**{**fields, **given})


@pytest.mark.parametrize(
    "message",
    [
        batch(),
        batch(count=1),
        batch(first_sequence=12, epoch=1_760_000_000),
        batch(series=100, count=300),
        batch(quality=[0, 1, 2, 0, 1], revision=[0, 1, 2, 3, 4]),
        batch(revision=[0, 1000, 0, 1 << 20, 0]),
        batch(time_us=[0, -1, BASE_US, 1 << 54, -(1 << 54)]),
        batch(value=[float("nan"), float("inf"), -0.0, 5e-324, 1.7e308]),
    ],
)
def test_a_batch_in_the_common_form_is_read_together(message: bytes) -> None:
    columns, odd = batches([message] * 3)

    assert odd.tolist() == []
    assert len(columns) % 3 == 0


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"sequence": 12, "epoch": 1_760_000_000},
        {"producer": "plc-1"},
        {"attributes": {"unit": "Cel"}},
        {"attributes": {str(n): "x" * n for n in range(32)}},
        {"source": "x" * 200, "metric": "Öl" * 60},
        {"quality": 2, "value": float("nan"), "revision": 1 << 20},
        {"time_us": 0},
    ],
)
def test_a_reading_in_the_common_form_is_read_together(given: dict[str, Any]) -> None:
    fields = {"source": "pump-1", "metric": "rpm", "time_us": BASE_US, "value": 1.0, **given}
    columns, odd = readings([encode_reading(**fields)] * 3)

    assert odd.tolist() == []
    assert len(columns) == 3


def sized(*items: bytes, claim: int | None = None) -> bytes:
    """Return an Avro array as one block that says how long it is."""
    joined = b"".join(items)
    return long(-len(items)) + long(len(joined) if claim is None else claim) + joined + long(0)


def batch_of_sized_blocks(claim: int | None = None) -> bytes:
    return b"".join(
        (
            READING_BATCH_V1.prefix,
            text("default"),
            text("gw-1"),
            sized(text("pump") + text("rpm") + long(0)),
            long(0) + long(0),
            sized(long(0), long(0)),
            sized(long(BASE_US), long(BASE_US + 1), claim=claim),
            sized(*[struct.pack("<d", 1.5)] * 2),
            long(0) + long(0),
        )
    )


def test_blocks_that_say_how_long_they_are_are_read_together_too() -> None:
    columns, odd = batches([batch_of_sized_blocks(), batch(count=2)])

    assert odd.tolist() == []
    assert (columns.time_us - BASE_US).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("claim", [15, 17, -1, 1 << 50])
def test_a_block_that_lies_about_its_length_is_left_to_the_exact_reader(claim: int) -> None:
    columns, odd = batches([batch(count=2), batch_of_sized_blocks(claim), batch(count=2)])

    assert odd.tolist() == [1]
    assert columns.offset.tolist() == [0, 0, 2, 2]


def test_an_index_outside_the_dictionary_is_left_to_the_exact_reader() -> None:
    message = batch(series=1, count=1)
    outside = message.replace(long(1) + long(0) + long(0), long(1) + long(1) + long(0), 1)
    columns, odd = batches([message, outside, message])

    assert outside != message
    assert odd.tolist() == [1]
    assert columns.offset.tolist() == [0, 2]


@pytest.mark.parametrize("number", [0, -1, 1, 63, 64, -65, 1 << 20, BASE_US, (1 << 55) - 1, -(1 << 55)])
def test_seven_bits_a_byte_become_a_number(number: int) -> None:
    word = np.array([int.from_bytes(long(number).ljust(8, b"\x00"), "little")], np.uint64)

    assert unzigzag(compact(word)).tolist() == [number]
