"""Lines arrive whole, at once, and in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.lines import MAX_LINE_BYTES, LineReader


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The reading and the writing end of a pipe."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def _read_all(content: bytes) -> list[bytes | None]:
    fd = os.memfd_create("lines")
    try:
        os.write(fd, content)
        os.lseek(fd, 0, os.SEEK_SET)
        reader = LineReader(fd)
        lines = list(reader)
        assert reader.bytes_read == len(content)
        return lines
    finally:
        os.close(fd)


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b""))), st.booleans())
def test_a_file_is_read_line_by_line(lines: list[bytes], ended: bool) -> None:
    content = b"\n".join(lines) + (b"\n" if ended and lines else b"")

    expected = content.split(b"\n")
    assert _read_all(content) == (expected if expected[-1] else expected[:-1])


def test_lines_longer_than_a_read_are_whole() -> None:
    assert _read_all(b"a" * 200_000 + b"\nb\n") == [b"a" * 200_000, b"b"]


def test_a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() -> None:
    long, short = _read_all(b"a" * (3 * MAX_LINE_BYTES) + b"\nb")

    assert long is not None
    assert MAX_LINE_BYTES < len(long) < 2 * MAX_LINE_BYTES
    assert short == b"b"


def test_a_line_is_told_before_the_pipe_ends(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = iter(LineReader(reading))

    os.write(writing, b"one\ntw")
    assert next(lines) == b"one"
    assert next(lines) is None

    os.write(writing, b"o")
    os.close(writing)
    assert list(lines) == [b"two"]
