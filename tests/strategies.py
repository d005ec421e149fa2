"""What Hypothesis draws from: messages as well-behaved, foreign and hostile writers make them."""

from __future__ import annotations

import json
import struct
from datetime import timedelta, timezone
from itertools import cycle
from typing import Any

from hypothesis import strategies as st

from schemas.registry import READING_BATCH_V1, READING_V1

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
TIMES_US = st.one_of(st.integers(946_684_800_000_000, 4_102_444_800_000_000), INT64)
TEXTS = st.text(st.sampled_from("abÜ°€😀 \x00\n\x85"), max_size=3)
NAMES = st.sampled_from(["rpm", "", "Ölstand", "a name of 21 characters"]) | TEXTS
ATTRIBUTES = st.dictionaries(st.sampled_from(["unit", "site", "system", "colour"]), NAMES, max_size=3)
KEYS = st.one_of(st.none(), st.binary(max_size=6), st.sampled_from([b"gw-1", b"gw-2"]))
VALUES = st.floats(width=64)


def long(number: int, width: int = 1) -> bytes:
    """Return an Avro long of at least ``width`` bytes; more than needed is legal, if odd."""
    zigzag = (number << 1) ^ (number >> 63)
    groups = [zigzag >> shift & 0x7F for shift in range(0, 70, 7)]
    used = max([width, *(place + 1 for place, group in enumerate(groups) if group)])
    return bytes(group | 0x80 for group in groups[: used - 1]) + bytes([groups[used - 1]])


def plain_longs(schema: str) -> Any:
    """Return a schema without logical types: Python's datetime does not reach as far as 64 bits do."""

    def plain(part: Any) -> Any:
        if isinstance(part, list):
            return [plain(item) for item in part]
        if isinstance(part, dict):
            return {name: plain(item) for name, item in part.items() if name != "logicalType"}
        return part

    return plain(json.loads(schema))


def text(content: str) -> bytes:
    """Return an Avro string."""
    encoded = content.encode()
    return long(len(encoded)) + encoded


@st.composite
def arrays(draw: st.DrawFn, items: list[bytes], plain: bool) -> bytes:
    """Draw an Avro array: one block where ``plain``, else as many as it likes, with or without sizes."""
    blocks = []
    while items:
        size = len(items) if plain else draw(st.integers(1, len(items)))
        block, items = items[:size], items[size:]
        joined = b"".join(block)
        if not plain and draw(st.booleans()):
            blocks.append(long(-size) + long(len(joined)) + joined)
        else:
            blocks.append(long(size) + joined)
    return b"".join(blocks) + long(0)


@st.composite
def attribute_maps(draw: st.DrawFn, plain: bool) -> bytes:
    """Draw an Avro union of null and a map of strings."""
    attributes = draw(st.none() | ATTRIBUTES)
    if attributes is None:
        return long(0)
    return long(1) + draw(arrays([text(name) + text(told) for name, told in attributes.items()], plain))


@st.composite
def reading_messages(draw: st.DrawFn) -> bytes:
    """Draw a well-formed ``Reading``; one in four is odd in form and content."""
    odd = not draw(st.integers(0, 3))
    wide = draw(st.integers(1, 10)) if odd else 1
    producer = draw(st.none() | NAMES)
    sequence = draw(st.none() | _numbers(odd, 100_000))
    return b"".join(
        (
            READING_V1.prefix,
            text(draw(st.sampled_from(["default", "other"]))),
            text(draw(NAMES)),
            text(draw(NAMES)),
            draw(attribute_maps(plain=not odd)),
            long(0) if producer is None else long(1) + text(producer),
            long(draw(_numbers(odd, 1000)), wide),
            long(0) if sequence is None else long(1) + long(sequence),
            long(draw(TIMES_US), wide),
            struct.pack("<d", draw(VALUES)),
            long(draw(_numbers(odd, 2))),
            long(draw(_numbers(odd, 300))),
        )
    )


@st.composite
def batch_messages(draw: st.DrawFn) -> bytes:
    """Draw a well-formed ``ReadingBatch``; one in four is odd in form and content."""
    odd = not draw(st.integers(0, 3))
    wide = draw(st.integers(1, 10)) if odd else 1
    entries = draw(st.integers(0 if odd else 1, 3) | st.integers(60, 70))
    described = draw(st.lists(st.tuples(NAMES, attribute_maps(plain=not odd)), min_size=1, max_size=3))
    series = [
        text(f"pump-{entry}") + text(metric) + attributes
        for entry, (metric, attributes) in zip(range(entries), cycle(described), strict=False)
    ]
    count = draw(st.integers(1, 8))
    lengths = draw(st.lists(st.integers(0, 4), min_size=5, max_size=5)) if odd else [count] * 5
    first = draw(st.none() | _numbers(odd, 100_000))

    def longs(length: int, numbers: st.SearchStrategy[int]) -> bytes:
        return draw(arrays([long(draw(numbers), wide) for _ in range(length)], plain=not odd))

    return b"".join(
        (
            READING_BATCH_V1.prefix,
            text("default"),
            text(draw(st.sampled_from(["", "gw-1", "gw-2"]))),
            draw(arrays(series, plain=not odd)),
            long(draw(_numbers(odd, 1000))),
            long(0) if first is None else long(1) + long(first),
            longs(lengths[0], _numbers(odd, max(entries - 1, 0))),
            longs(lengths[1], TIMES_US),
            draw(arrays([struct.pack("<d", draw(VALUES)) for _ in range(lengths[2])], plain=not odd)),
            long(1) + longs(lengths[3], _numbers(odd, 2)) if draw(st.booleans()) else long(0),
            long(1) + longs(lengths[4], _numbers(odd, 300)) if draw(st.booleans()) else long(0),
        )
    )


def _numbers(odd: bool, usual: int) -> st.SearchStrategy[int]:
    return st.integers(0, usual) | INT64 if odd else st.integers(0, usual)


OFFSETS = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES_AS_TEXT = st.one_of(
    st.datetimes().map(lambda time: time.isoformat() + "Z"),
    st.datetimes(timezones=OFFSETS).map(lambda time: time.isoformat()),
    st.builds(
        "{:04}-{:02}-{:02}{}{:02}:{:02}:{:02}{}{}".format,
        st.integers(0, 9999),
        st.integers(0, 13),
        st.integers(0, 32),
        st.sampled_from("Tt _"),
        st.integers(0, 24),
        st.integers(0, 60),
        st.integers(0, 61),
        st.sampled_from(["", ".", ".5", ".123456", ".123456789", ".1234567890"]),
        st.sampled_from(["", "Z", "z", "+00:00", "-08:00", "+24:00", "+01:60", "+0100"]),
    ),
)
JSON_ODDITIES = st.one_of(
    st.none(),
    st.booleans(),
    TEXTS,
    st.integers(-(1 << 70), 1 << 70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(TEXTS, st.integers(), max_size=2),
)
JSON_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "tenant": st.sampled_from(["default", "other"]),
    "producer": st.none() | NAMES,
    "epoch": st.integers(0, 100) | INT64,
    "sequence": st.none() | st.integers(0, 1000) | INT64,
    "quality": st.sampled_from(["good", "uncertain", "bad"]),
    "revision": st.integers(0, 100) | INT64,
    "attributes": st.none() | ATTRIBUTES,
}


@st.composite
def json_readings(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a reading as a JSON object; one in five is wrong in some way."""
    reading: dict[str, Any] = {
        "source": draw(st.sampled_from(["pump-1", "pump-2"]) | NAMES),
        "metric": draw(st.sampled_from(["rpm", "flow"])),
        "time": draw(TIMES_US | TIMES_AS_TEXT),
        "value": draw(
            st.none() | st.integers(-(1 << 40), 1 << 40) | st.floats(allow_nan=False, allow_infinity=False)
        ),
    }
    for field in draw(st.lists(st.sampled_from(list(JSON_FIELDS)), unique=True, max_size=3)):
        reading[field] = draw(JSON_FIELDS[field])
    if not draw(st.integers(0, 4)):
        field = draw(st.sampled_from([*reading, "colour"]))
        if draw(st.booleans()):
            reading[field] = draw(JSON_ODDITIES)
        else:
            reading.pop(field, None)
    return reading


JSON_MESSAGES = st.one_of(json_readings(), st.lists(json_readings(), max_size=5)).map(
    lambda document: json.dumps(document).encode()
)
JSON_FRAGMENTS = st.lists(
    st.sampled_from(
        [
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b'"',
            b"\\",
            b"1",
            b"null",
            b'{"source":"a","metric":"b","time":1,"value":2},{"source":"a","metric":"b","time":1,"value":2}',
            b'{"source":"a","metric":"b","time":1,"value":2}',
            b" ",
        ]
    ),
    max_size=6,
).map(b"".join)


_NUMBERS_AS_TEXT = st.sampled_from(
    b"0 -0 -0.0 1 7.25 1.0 1e3 -2E-3 4.35 9007199254740993 1e-400 5e-324 1e309 01 1. - +1 NaN".split()
    + [
        str(sign * (1 << bits) + more).encode()
        for sign in (1, -1)
        for bits in (53, 63, 64)
        for more in (-1, 0, 1)
    ]
    + [b"1" * 309, b"-" + b"9" * 400, b"8" * 4400, b"0." + b"3" * 400]
)
_STRINGS_AS_TEXT = st.sampled_from(
    rb""""" "a" "rpm" "good" "bad" "2026-01-31T12:00:00Z" "a-name-too-long" "a\" " 'a'
    "\ud83d\ude00" "\u0061" "\/\b" "\ud800" "\ude00\ud83d" "\u0000" "\x" """.split()
    + [b'"%s"' % raw for raw in (b"\x7f", b"\n", b"\0", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xc3\x9c")]
)
_SCALARS_AS_TEXT = st.one_of(_NUMBERS_AS_TEXT, _STRINGS_AS_TEXT, st.sampled_from([b"null", b"true", b"nul"]))


def _objects_as_text(
    fields: st.SearchStrategy[tuple[bytes, bytes]], most: int, begin: bytes = b"{"
) -> st.SearchStrategy[bytes]:
    members = st.lists(fields.map(b":".join), max_size=most)
    joined = st.builds(bytes.join, st.sampled_from([b",", b",", b" , ", b",\n", b",,"]), members)
    return joined.map(lambda written: begin + (b"," if written and begin != b"{" else b"") + written + b"}")


_ATTRIBUTES_AS_TEXT = _objects_as_text(st.tuples(_STRINGS_AS_TEXT, _STRINGS_AS_TEXT | _SCALARS_AS_TEXT), 3)
_DEEP_AS_TEXT = st.sampled_from([b"[" * n + b"]" * n for n in (1, 1022, 1023, 1024, 3000)])
_FIELDS_AS_TEXT = st.tuples(
    st.sampled_from([f'"{name}"'.encode() for name in ("source", "metric", "time", "value", *JSON_FIELDS)])
    | st.sampled_from([rb'"\u0074ime"', b'"time" ', b' "value"', b'"colour"', b'"\xff"', rb'"\ud800"']),
    st.one_of(_SCALARS_AS_TEXT, _SCALARS_AS_TEXT, _ATTRIBUTES_AS_TEXT, _DEEP_AS_TEXT),
)
_READINGS_AS_TEXT = _objects_as_text(
    _FIELDS_AS_TEXT, 3, b'{"source":"a","metric":"b","time":1,"value":2'
) | _objects_as_text(_FIELDS_AS_TEXT, 6)
JSON_AS_TEXT = st.one_of(
    _READINGS_AS_TEXT,
    st.lists(_READINGS_AS_TEXT, min_size=1, max_size=3).map(
        lambda readings: b"[" + b",".join(readings) + b"]"
    ),
)
"""Readings written by hand: fields repeated and in any order, numbers and strings in all their forms."""


@st.composite
def damaged(draw: st.DrawFn, messages: st.SearchStrategy[bytes]) -> bytes:
    """Draw a message that was cut, extended, or overwritten somewhere, at its end more often."""
    message = draw(messages)
    begin = draw(st.integers(0, len(message)) | st.integers(max(0, len(message) - 3), len(message)))
    end = draw(st.integers(begin, min(len(message), begin + 3)) | st.just(len(message)))
    return message[:begin] + draw(st.binary(max_size=3)) + message[end:]
