"""How unusual a statistic is for its own series: its tail probability among what the series has shown.

Statistics of different detectors mean nothing beside each other; their tail probabilities do. Each
series counts how often each statistic was how large, in half octaves, and forgets slowly. Between two
bounds of a bin the probability is interpolated.
"""

from __future__ import annotations

import numpy as np

from streams.core.batch import Float64, Int64
from streams.core.detect.memory import Field, Rows, SeriesState

BINS = 24
MOST = 8192
"""Counts are halved when a series has more: what is older than twice as many readings counts little."""

EVERY = 16
"""Readings count from the next multiple of so many on: summing up costs more than counting does."""

_MANTISSA_BITS = 22
"""Of a 32-bit float's 23 bits below the exponent: the first one tells the half of the octave."""

_LOG10 = np.log10(np.arange(1, MOST + EVERY + 2))


def tail_fields(columns: int) -> dict[str, Field]:
    """Return the state in which ``columns`` statistics are counted."""
    return {
        "tail_counts": Field((columns, BINS), np.uint16),
        "tail_at_least": Field((columns, BINS + 1), np.uint16),
        "tail_seen": Field((), np.int64),
    }


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
    bins, share = _bins(statistic, lowest)
    places = rows[:, None] * columns + np.arange(columns)
    at_least = state["tail_at_least"].reshape(-1)
    bounds = places * (BINS + 1) + bins
    upper, lower = _LOG10[at_least[bounds]], _LOG10[at_least[bounds + 1]]
    total = _LOG10[state["tail_at_least"][rows, :, 0]]
    state["tail_counts"].reshape(-1)[places * BINS + bins] += 1
    _count(state, rows)
    unusual: Float64 = total - upper + share * (upper - lower)
    return unusual


def _bins(statistic: Float64, lowest: float) -> tuple[Int64, Float64]:
    """Return the bin of each statistic, and how far inside it is, from 0 to 1."""
    floor = int(np.float32(lowest).view(np.int32))
    bits = statistic.astype(np.float32).view(np.int32) - floor
    bits = np.clip(bits, 0, (BINS << _MANTISSA_BITS) - 1)
    share: Float64 = (bits & ((1 << _MANTISSA_BITS) - 1)) * np.float64(2.0**-_MANTISSA_BITS)
    return (bits >> _MANTISSA_BITS).astype(np.int64), share


def _count(state: SeriesState, rows: Rows) -> None:
    """Sum the counts up where it is time to."""
    state["tail_seen"][rows] += 1
    due = rows[state["tail_seen"][rows] % EVERY == 0]
    if not len(due):
        return
    counts = state["tail_counts"][due]
    full = counts[:, 0].sum(axis=1) > MOST
    if full.any():
        counts[full] //= 2
        state["tail_counts"][due] = counts
    state["tail_at_least"][due, :, :-1] = np.cumsum(counts[:, :, ::-1], axis=2)[:, :, ::-1]
