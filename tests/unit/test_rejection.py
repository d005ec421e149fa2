"""One input for each way in which input can be wrong; what is around it is taken."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from schemas.encode import encode_reading
from schemas.registry import READING_BATCH_V1, READING_V1
from streams.core import decode
from streams.core.batch import Messages
from streams.core.limits import Limits
from streams.core.pipeline import Pipeline
from streams.core.rejection import (
    MAX_DETAIL_CHARS,
    MAX_PAYLOAD_BYTES,
    WHOLE_RECORD,
    Reason,
    Rejection,
)
from tests.builders import BASE_US
from tests.strategies import long, text

LIMITS = Limits(max_message_bytes=2_000_000, max_readings_per_message=1000)
DAY_US = 86_400_000_000
HUGE = 1 << 62


@pytest.fixture(params=["one by one", "together"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every chunk here read both as a small one and as a large one."""
    monkeypatch.setattr(decode, "SMALL_CHUNK_BYTES", 1 << 30 if request.param == "one by one" else 0)


def avro(**given: Any) -> bytes:
    return encode_reading(**{"source": "pump-1", "metric": "rpm", "time_us": BASE_US, "value": 1.0, **given})


def avro_ending(*, sequence: bytes = long(0), quality: int = 0, revision: int = 0) -> bytes:
    """Return a reading of which the encoder would refuse to write the end."""
    header = READING_V1.prefix + text("default") + text("pump-1") + text("rpm") + long(0) + long(0)
    end = struct.pack("<d", 1.0) + long(quality) + long(revision)
    return header + long(0) + sequence + long(BASE_US) + end


def batch(*arrays: bytes, series: bytes | None = None, first: int = 0) -> bytes:
    """Return a batch with these arrays, no quality and no revision."""
    dictionary = long(1) + text("pump-1") + text("rpm") + long(0) + long(0) if series is None else series
    header = READING_BATCH_V1.prefix + text("default") + text("gw-1") + dictionary + long(0)
    return header + long(1) + long(first) + b"".join(arrays) + long(0) + long(0)


def array(*items: bytes, count: int | None = None) -> bytes:
    return long(len(items) if count is None else count) + b"".join(items) + long(0)


INDEX, TIME, VALUE = array(long(0)), array(long(BASE_US)), array(struct.pack("<d", 1.0))


def as_json(**given: Any) -> bytes:
    return json.dumps({"source": "pump-1", "metric": "rpm", "time": BASE_US, "value": 1.0, **given}).encode()


def without(field: str) -> bytes:
    document = json.loads(as_json())
    del document[field]
    return json.dumps(document).encode()


FAULTS: dict[Reason, dict[str, bytes | None]] = {
    Reason.EMPTY: {
        "tombstone": None,
        "no byte": b"",
        "empty array": b"[]",
        "empty batch": batch(long(0), long(0), long(0)),
    },
    Reason.TOO_LARGE: {"large": b"{" + b" " * LIMITS.max_message_bytes + b"}"},
    Reason.UNKNOWN_ENCODING: {
        "garbage": b"\xde\xad\xbe\xef",
        "number": b"42",
        "text": b'"pump"',
        "csv": b"time,value",
        "zero": b"\x00\x01",
    },
    Reason.UNKNOWN_SCHEMA: {
        "fingerprint": b"\xc3\x01" + bytes(8) + avro()[10:],
        "marker alone": b"\xc3\x01",
        "almost ours": READING_V1.prefix[:9] + b"\x00" + avro()[10:],
        "number": b"\x00\x00\x00\x00\x07" + avro()[10:],
    },
    Reason.UNDECODABLE: {
        "prefix alone": READING_V1.prefix,
        "huge string": READING_V1.prefix + long(HUGE),
        "negative string": READING_V1.prefix + long(-1),
        "endless number": READING_V1.prefix + b"\xff" * 20,
        "65 bits": READING_V1.prefix + b"\xff" * 9 + b"\x02",
        "not utf-8": avro().replace(b"pump-1", b"pump\xff1"),
        "third branch": avro_ending(sequence=long(2) + long(1)),
        "negative branch": avro_ending(sequence=long(-1) + long(1)),
        "lying block": batch(long(-1) + long(2) + long(0) + long(0), TIME, VALUE),
        "json cut": as_json()[:-1],
        "two objects": as_json() + as_json(),
        "nan": as_json(value=float("nan")),
        "infinity": as_json(value=1).replace(b'"value": 1', b'"value": 1e999'),
        "deep arrays": b"[" * 100_000 + b"]" * 100_000,
        "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "lone surrogate": b'{"source":"\\ud800"}',
    },
    Reason.TRAILING_BYTES: {"reading": avro() + b"\x00", "batch": batch(INDEX, TIME, VALUE) + b"\x00"},
    Reason.TOO_MANY_READINGS: {
        "huge block": batch(long(HUGE), TIME, VALUE),
        "huge sized block": batch(long(-HUGE) + long(HUGE), TIME, VALUE),
        "least count": batch(long(-(1 << 63)) + long(1), TIME, VALUE),
        "many": batch(array(*[long(0)] * 1001), TIME, VALUE),
        "huge dictionary": batch(INDEX, TIME, VALUE, series=long(HUGE)),
        "json": json.dumps([json.loads(as_json())] * 1001).encode(),
    },
    Reason.MISSING_FIELD: {field: without(field) for field in ("source", "metric", "time", "value")},
    Reason.UNKNOWN_FIELD: {
        "colour": as_json(colour="red"),
        "no name": as_json(**{"": 1}),
        "nul": as_json(**{"a\x00": 1}),
    },
    Reason.WRONG_TYPE: {
        "source": as_json(source=7),
        "metric": as_json(metric=None),
        "tenant": as_json(tenant=None),
        "producer": as_json(producer=7),
        "value is text": as_json(value="1"),
        "value is true": as_json(value=True),
        "value is a list": as_json(value=[1]),
        "time is a fraction": as_json(time=1.5),
        "time is true": as_json(time=True),
        "time beyond 64 bits": as_json(time=1 << 63),
        "time far beyond 64 bits": as_json(time=1 << 80),
        "epoch is null": as_json(epoch=None),
        "sequence is text": as_json(sequence="1"),
        "quality is a number": as_json(quality=0),
        "revision is a fraction": as_json(revision=1.0),
        "array of nulls": b"[" + b"null," * 500 + b"null]",
        "array of arrays": b"[[]]",
        "deep value": as_json(value=1).replace(b'"value": 1', b'"value": ' + b"[" * 900 + b"]" * 900),
    },
    Reason.SHAPE: {
        "times missing": batch(INDEX, long(0), VALUE),
        "values missing": batch(INDEX, TIME, long(0)),
        "index beyond": batch(array(long(1)), TIME, VALUE),
        "index negative": batch(array(long(-1)), TIME, VALUE),
        "no dictionary": batch(INDEX, TIME, VALUE, series=long(0)),
    },
    Reason.BAD_NAME: {
        "empty": avro(source=""),
        "control character": as_json(metric="a\x00b"),
        "long source": avro(source="x" * 1_000_000),
        "long tenant": as_json(tenant="x" * 1_000_000),
        "long metric": avro(metric="x" * 201),
        "long with nul": avro(metric="\x00" * 201),
        "long producer": avro(producer="x" * 201),
        "long name in a dictionary": batch(
            INDEX, TIME, VALUE, series=long(1) + text("x" * 500_000) + text("rpm") + long(0) + long(0)
        ),
    },
    Reason.BAD_UNIT: {
        "degrees": as_json(attributes={"unit": "° C"}),
        "long": avro(attributes={"unit": "m" * 41}),
    },
    Reason.BAD_QUALITY: {
        "json": as_json(quality="superb"),
        "avro": avro_ending(quality=3),
        "negative": avro_ending(quality=-1),
        "beyond 16 bits": avro_ending(quality=1 << 16),
    },
    Reason.BAD_ATTRIBUTES: {
        "list": as_json(attributes=[]),
        "number": as_json(attributes={"site": 1}),
        "many": avro(attributes={str(n): "" for n in range(33)}),
        "huge map": READING_V1.prefix + text("a") + text("b") + text("c") + long(1) + long(HUGE),
        "long name": avro(attributes={"x" * 201: ""}),
        "long value": as_json(attributes={"site": "x" * 201}),
        "control character": avro(attributes={"site": "a\x00"}),
    },
    Reason.BAD_TIME: {"text": as_json(time="yesterday"), "no zone": as_json(time="2026-01-31T12:00:00")},
    Reason.BAD_SEQUENCE: {
        "avro": avro_ending(sequence=long(1) + long(-1)),
        "json": as_json(sequence=-1),
        "json, largest": as_json(sequence=(1 << 63) - 1),
        "batch": batch(INDEX, TIME, VALUE, first=-1),
        "beyond 64 bits": batch(array(long(0), long(0)), TIME, VALUE, first=(1 << 63) - 1).replace(
            TIME + VALUE, array(*[long(BASE_US)] * 2) + array(*[struct.pack("<d", 1.0)] * 2)
        ),
    },
    Reason.BAD_REVISION: {
        "json": as_json(revision=-1),
        "avro": avro_ending(revision=-1),
        "beyond 32 bits": avro_ending(revision=1 << 32),
    },
    Reason.NOT_FINITE: {
        "nan": avro(value=float("nan")),
        "infinity": avro(value=float("-inf"), quality=1),
        "null": as_json(value=None),
    },
    Reason.TIME_OUT_OF_BOUNDS: {
        "year 1": as_json(time="0001-01-01T00:00:00Z"),
        "year 9999": as_json(time="9999-12-31T23:59:59Z"),
        "seconds": avro(time_us=BASE_US // 1_000_000),
        "nanoseconds": avro(time_us=BASE_US * 1000),
    },
    Reason.FUTURE: {"a day ahead": avro(time_us=BASE_US + DAY_US)},
}

ELSEWHERE = {Reason.SERIES_LIMIT, Reason.CONFLICT, Reason.EXPIRED, Reason.POISON}
"""Refused by the sink, which knows what is stored; or without being looked at."""

CASES = [
    pytest.param(reason, value, id=f"{reason.value}: {name}")
    for reason, values in FAULTS.items()
    for name, value in values.items()
]


def refused(values: list[bytes | None]) -> tuple[list[int], list[Rejection]]:
    """Return the offsets of what is taken, and what is not."""
    count = len(values)
    messages = Messages(values, [b"gw-1"] * count, np.arange(count), np.full(count, BASE_US // 1000))
    decoded = Pipeline(LIMITS)(messages).decoded
    return decoded.columns.offset.tolist(), decoded.rejections


def test_every_reason_has_its_row() -> None:
    assert set(FAULTS) == set(Reason) - ELSEWHERE


@pytest.mark.parametrize(("reason", "value"), CASES)
def test_bad_input_is_one_rejection_with_its_reason_and_its_neighbours_are_taken(
    reason: Reason, value: bytes | None
) -> None:
    neighbours: list[bytes | None] = [
        avro(),
        batch(INDEX, TIME, VALUE),
        as_json(),
        b"[" + as_json() + b"]",
    ] * 5
    taken, (rejection,) = refused([*neighbours, value, *neighbours])

    assert taken == [*range(20), *range(21, 41)]
    assert (rejection.offset, rejection.reason) == (20, reason)
    assert rejection.detail
    assert len(rejection.detail) <= MAX_DETAIL_CHARS
    assert rejection.detail.isprintable()
    assert len(rejection.payload) <= min(rejection.payload_bytes, MAX_PAYLOAD_BYTES)
    if rejection.index == WHOLE_RECORD:
        assert rejection.payload_bytes == len(value or b"")
        assert (value or b"").startswith(rejection.payload)


@pytest.mark.parametrize("message", [avro(attributes={"unit": "Cel"}, sequence=7), batch(INDEX, TIME, VALUE)])
def test_a_message_cut_short_anywhere_is_one_rejection(message: bytes) -> None:
    cut: list[bytes | None] = [message[:length] for length in range(1, len(message))]
    interleaved = [value for short in cut for value in (short, message)]
    taken, rejections = refused(interleaved)

    assert taken == list(range(1, 2 * len(cut), 2))
    assert [rejection.offset for rejection in rejections] == list(range(0, 2 * len(cut), 2))
    assert {rejection.reason for rejection in rejections} == {
        Reason.UNKNOWN_ENCODING,
        Reason.UNKNOWN_SCHEMA,
        Reason.UNDECODABLE,
    }


def test_the_same_bad_message_many_times_is_as_many_rejections() -> None:
    values = [
        value
        for _, value in (case.values for case in CASES)
        if isinstance(value, bytes) and len(value) < 5000
    ]
    taken, rejections = refused([*values * 20])

    assert len(taken) == 0
    assert len(rejections) == 20 * len(values)
