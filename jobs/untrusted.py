"""What came from outside, as an operator may see it: no control character reaches the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

WIDTH = 16
SHOWN_BYTES = 1024


def payload_lines(payload: bytes) -> Iterator[str]:
    """Yield the lines that show a record's value: indented where it is JSON, else its first bytes.

    >>> print(*payload_lines(b'{"value":1450}'), sep="\\n")
    {
      "value": 1450
    }
    """
    try:
        document = orjson.dumps(orjson.loads(payload), option=orjson.OPT_INDENT_2).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        yield from hexdump(payload[:SHOWN_BYTES])
        if len(payload) > SHOWN_BYTES:
            yield f"… {len(payload) - SHOWN_BYTES} bytes more; --json has them all"
    else:
        yield from map(printable, document.split("\n"))


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
