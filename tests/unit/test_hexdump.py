from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobs.hexdump import hexdump


@given(st.binary(max_size=200))
def test_the_digits_give_the_bytes_back(data: bytes) -> None:
    lines = list(hexdump(data))
    assert b"".join(bytes.fromhex(line[6:53]) for line in lines) == data
    assert [int(line[:4], 16) for line in lines] == list(range(0, len(data), 16))


@given(st.binary(min_size=1, max_size=200))
def test_nothing_reaches_the_terminal_but_printable_characters(data: bytes) -> None:
    assert all(line.isascii() and line.isprintable() for line in hexdump(data))
