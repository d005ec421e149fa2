"""Decoding alone gets chunks of the size that a worker gets."""

from __future__ import annotations

import numpy as np

from jobs.benchmark import alone
from streams.core.batch import Messages


def _messages(first: int, count: int, size: int) -> Messages:
    offsets = np.arange(first, first + count)
    return Messages([bytes(size)] * count, [None] * count, offsets, offsets + 1)


def test_chunks_are_cut_by_records() -> None:
    chunks = list(alone.rechunked([_messages(0, 1500, 8), _messages(1500, 1500, 8)]))

    assert [len(chunk) for chunk in chunks] == [alone.CHUNK_RECORDS, 1000]
    assert np.concatenate([chunk.offsets for chunk in chunks]).tolist() == list(range(3000))


def test_chunks_are_cut_by_bytes() -> None:
    size = alone.CHUNK_BYTES // 4

    assert [len(chunk) for chunk in alone.rechunked([_messages(0, 9, size)])] == [4, 4, 1]
