"""Bytes as an operator reads them."""

from __future__ import annotations

from collections.abc import Iterator

WIDTH = 16


def hexdump(data: bytes) -> Iterator[str]:
    """Yield one line for each 16 bytes: offset, hexadecimal digits, and what is printable ASCII.

    >>> print(*hexdump(b"pump-1 rpm\\n1450"), sep="\\n")
    0000  70 75 6d 70 2d 31 20 72 70 6d 0a 31 34 35 30     pump-1 rpm.1450
    """
    for start in range(0, len(data), WIDTH):
        row = data[start : start + WIDTH]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        yield f"{start:04x}  {row.hex(' '):<{3 * WIDTH - 1}}  {text}"
