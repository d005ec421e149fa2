"""What came from outside, as an operator may see it: no control character reaches the terminal."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO

import orjson
from fastavro import schemaless_reader

from schemas.registry import ALLOWED, SINGLE_OBJECT_MARKER, SINGLE_OBJECT_PREFIX_BYTES

WIDTH = 16
SHOWN_BYTES = 1024


def payload_lines(payload: bytes) -> Iterator[str]:
    """Yield the lines that show a record's value: its fields where it can be read, else its first bytes.

    >>> print(*payload_lines(b'{"value":1450}'), sep="\\n")
    {
      "value": 1450
    }
    """
    document = _from_json(payload) or _from_avro(payload)
    if document is not None:
        yield from map(printable, document.decode().split("\n"))
        return
    yield from hexdump(payload[:SHOWN_BYTES])
    if len(payload) > SHOWN_BYTES:
        yield f"… {len(payload) - SHOWN_BYTES} bytes more; --json has them all"


def _from_json(payload: bytes) -> bytes | None:
    try:
        return orjson.dumps(orjson.loads(payload), option=orjson.OPT_INDENT_2)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None


def _from_avro(payload: bytes) -> bytes | None:
    """Return the fields of a reading or a batch, as far as its schema goes, as JSON."""
    prefix, body = payload[:SINGLE_OBJECT_PREFIX_BYTES], BytesIO(payload[SINGLE_OBJECT_PREFIX_BYTES:])
    schema = ALLOWED.get(prefix.removeprefix(SINGLE_OBJECT_MARKER))
    if schema is None or not prefix.startswith(SINGLE_OBJECT_MARKER):
        return None
    try:
        fields = schemaless_reader(body, schema.parsed, None)
        return orjson.dumps(fields, option=orjson.OPT_INDENT_2)
    except (EOFError, ValueError, IndexError, OverflowError, struct.error, orjson.JSONEncodeError):
        return None


def hexdump(data: bytes) -> Iterator[str]:
    """Yield one line for each 16 bytes: offset, hexadecimal digits, and what is printable ASCII.

    >>> print(*hexdump(b"pump-1 rpm\\n1450"), sep="\\n")
    0000  70 75 6d 70 2d 31 20 72 70 6d 0a 31 34 35 30     pump-1 rpm.1450
    """
    for start in range(0, len(data), WIDTH):
        row = data[start : start + WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:04x}  {row.hex(' '):<{3 * WIDTH - 1}}  {text}"


def printable(text: str) -> str:
    r"""Return ``text`` with everything escaped that a terminal might obey.

    >>> printable("50 °C\x1b[2J")
    '50 °C\\x1b[2J'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
