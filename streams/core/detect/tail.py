"""How unusual a statistic is for its own series: its tail probability among what the series has shown.

Statistics of different detectors mean nothing beside each other; their tail probabilities do. Each
series counts how often each statistic was how large, in half octaves, and forgets slowly. Between two
bounds of a bin the probability is interpolated.
"""

from __future__ import annotations

from itertools import accumulate
from operator import mul

import numpy as np
import numpy.typing as npt

from streams.core.batch import Float64
from streams.core.detect.memory import Field, Rows, SeriesState

BINS = 24
MOST = 8192
"""Counts are halved when a series has more: what is older than twice as many readings counts little."""

EVERY = 16
"""Readings count from the next multiple of so many on: summing up costs more than counting does."""

_MANTISSA_BITS = 22
"""Of a 32-bit float's 23 bits below the exponent: the first one tells the half of the octave."""

LOG10_AFTER = np.rint(np.log10(np.arange(1, 2**16 + 1)) * 2.0**28) * 2.0**-28
"""Of n: the decimal logarithm of n + 1, for all that a count can be. Rounded, because its last bits depend on
the machine: NumPy has several logarithms. None of these is so near the middle of two that it matters."""

_HALVINGS = 3.321928094887362
"""How often to halve for a tenth."""

_HALVED = list(accumulate((-0.6931471805599453 / n for n in range(1, 16)), mul, initial=1.0))
"""The series of Taylor by which a share of a halving is computed."""


def tail_fields(columns: int) -> dict[str, Field]:
    """Return the state in which ``columns`` statistics are counted."""
    return {
        "tail_counts": Field((columns, BINS), np.uint16),
        "tail_at_least": Field((columns, BINS + 1), np.uint16),
        "tail_seen": Field((), np.int64),
    }


def score_of(unusual: Float64) -> Float64:
    """Return surprises, minus decimal logarithms of tail probabilities, as scores from 0 to 1.

    In sums and products, which have the same bits on every machine; NumPy's powers do not.
    """
    halvings = unusual * _HALVINGS
    whole = np.floor(halvings)
    tail = np.zeros_like(halvings)
    for term in reversed(_HALVED):
        tail = tail * (halvings - whole) + term
    score: Float64 = 1.0 - np.ldexp(tail, -whole.astype(np.int32))
    return score


def surprise(state: SeriesState, rows: Rows, statistic: Float64, lowest: float) -> Float64:
    """Return minus the decimal logarithm of each statistic's tail probability, then count it.

    ``statistic``: a row a series, a column a statistic, none negative. Up to ``lowest``, a power of
    two, everything is usual: 0. A series of n counted readings knows nothing rarer than 1 / (n + 1).

    >>> state = SeriesState(tail_fields(1))
    >>> state.grow(1)
    >>> usual = [surprise(state, np.array([0]), np.array([[1.0]]), 2**-5) for _ in range(99)]
    >>> surprise(state, np.array([0]), np.array([[50.0]]), 2**-5).round(2).tolist()
    [[1.99]]
    """
    columns = statistic.shape[1]
    bits = _bits(statistic, lowest)
    # Most statistics of some detectors are as usual as can be: those are counted as the rest, in _count.
    at = np.flatnonzero(bits)
    row, column = np.divmod(at, columns)
    bins = bits.reshape(-1)[at]
    share = (bins & ((1 << _MANTISSA_BITS) - 1)) * 2.0**-_MANTISSA_BITS
    bins >>= _MANTISSA_BITS
    places = rows[row] * columns + column
    at_least = state["tail_at_least"].reshape(-1)
    bounds = places * (BINS + 1) + bins
    upper, lower = LOG10_AFTER[at_least[bounds]], LOG10_AFTER[at_least[bounds + 1]]
    unusual = np.zeros(statistic.size)
    unusual[at] = LOG10_AFTER[at_least[places * (BINS + 1)]] - upper + share * (upper - lower)
    state["tail_counts"].reshape(-1)[places * BINS + bins] += 1
    _count(state, rows)
    return unusual.reshape(statistic.shape)


def _bits(statistic: Float64, lowest: float) -> npt.NDArray[np.int32]:
    """Return the bin of each statistic, and in the lower bits how far inside it is."""
    floor = int(np.float32(lowest).view(np.int32))
    bits = statistic.astype(np.float32).view(np.int32)
    bits -= floor
    return np.clip(bits, 0, (BINS << _MANTISSA_BITS) - 1, out=bits)


def _count(state: SeriesState, rows: Rows) -> None:
    """Sum the counts up where it is time to."""
    state["tail_seen"][rows] += 1
    due = rows[state["tail_seen"][rows] % EVERY == 0]
    if not len(due):
        return
    counts = state["tail_counts"].take(due, axis=0)
    counts[:, :, 0] += state["tail_at_least"][due, :, 0] + EVERY - counts.sum(axis=2, dtype=np.uint16)
    full = counts[:, 0].sum(axis=1) > MOST
    if full.any():
        counts[full] //= 2
    state["tail_counts"][due] = counts
    state["tail_at_least"][due, :, :-1] = np.cumsum(counts[:, :, ::-1], axis=2, dtype=np.uint16)[:, :, ::-1]
