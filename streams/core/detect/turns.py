"""Cuts readings of many series into turns: in each at most one reading of any series."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.core.batch import Int32, Int64

Places = npt.NDArray[np.intp]


class Turn(NamedTuple):
    """One reading each of some series: which of the series (in their order), and which readings."""

    series: Places
    readings: Places


def begins(series: Int64 | Int32) -> Places:
    """Return where those of each series begin, and where the last ones end, of readings sorted by series.

    >>> begins(np.array([4, 4, 7])).tolist(), begins(np.array([], np.int32)).tolist()
    ([0, 2, 3], [0])
    """
    changes = np.flatnonzero(series[1:] != series[:-1]) + 1
    return np.concatenate([np.zeros(min(len(series), 1), np.intp), changes, [len(series)]])


def turns(series: Int64 | Int32) -> Iterator[Turn]:
    """Yield the first reading of every series, then the second of those that have one, and so on.

    ``series``: of readings that are sorted by series.

    >>> [round.readings.tolist() for round in turns(np.array([4, 4, 4, 7, 9, 9]))]
    [[0, 3, 4], [1, 5], [2]]
    """
    if not len(series):
        return
    begin = begins(series)
    starts, counts = begin[:-1], np.diff(begin)
    longest_first = np.argsort(-counts, kind="stable")
    with_more_than = np.searchsorted(-counts[longest_first], -np.arange(counts.max()), side="left")
    for number, count in enumerate(with_more_than.tolist()):
        chosen = np.sort(longest_first[:count])
        yield Turn(chosen, starts[chosen] + number)
