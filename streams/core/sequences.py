"""Which sequence numbers of each producer were seen: repeats, and the gaps that are still open.

Of each producer the numbers of its latest epoch are kept as a few intervals. A producer that restarts
takes a higher epoch; stragglers of an earlier one are left to the other identity, (series, event
time), and so is what is forgotten here: a number that is not known to be seen counts as new.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.core.batch import UNNUMBERED, Bools, Int32, Int64

MAX_INTERVALS = 1_000
"""Of one producer; beyond it the lowest are forgotten."""

NO_EPOCH = np.iinfo(np.int64).min

Interval = tuple[int, int]
"""The numbers ``[start, end)``."""


class Spans(NamedTuple):
    """Numbers ``[start, end)`` of a producer's epoch, as parallel arrays."""

    producer: Int32
    epoch: Int64
    start: Int64
    end: Int64


class Sequences:
    """The numbers seen of the producers of one partition.

    :meth:`judge` changes nothing; :meth:`apply` takes spans in. Producers are
    small integers.

    >>> seen = Sequences()
    >>> seen.apply(Spans(np.array([0]), np.array([1]), np.array([0]), np.array([5])))
    >>> repeated, spans = seen.judge(np.array([0, 0]), np.array([1, 1]), np.array([4, 5]))
    >>> repeated.tolist()
    [True, False]
    """

    def __init__(self) -> None:
        # The last interval of each producer, and those before it of the few that have gaps.
        self._epoch = np.empty(0, np.int64)
        self._start = np.empty(0, np.int64)
        self._end = np.empty(0, np.int64)
        self._earlier: dict[int, list[Interval]] = {}

    def judge(self, producer: Int32, epoch: Int64, sequence: Int64) -> tuple[Bools, Spans]:
        """Tell which readings, in log order, carry a number seen before; return what was seen now."""
        repeated = np.zeros(len(sequence), bool)
        numbered = np.flatnonzero(sequence != UNNUMBERED)
        order = numbered[np.argsort(producer[numbered], kind="stable")]
        if not len(order):
            return repeated, _no_spans()
        spans, first = _spans(producer[order], epoch[order], sequence[order])
        self._grow(int(spans.producer[-1]))
        alone = np.bincount(spans.producer)[spans.producer] == 1
        follows = (spans.epoch == self._epoch[spans.producer]) & (spans.start == self._end[spans.producer])
        odd = np.flatnonzero(~(alone & follows))
        states: dict[int, tuple[int, list[Interval]]] = {}
        for number in odd.tolist():
            name, begins = int(spans.producer[number]), int(spans.epoch[number])
            known_epoch, intervals = states.get(name) or (int(self._epoch[name]), self.intervals(name))
            if begins > known_epoch:
                known_epoch, intervals = begins, []
            if begins == known_epoch:
                start, end = int(spans.start[number]), int(spans.end[number])
                for known_start, known_end in overlaps(intervals, start, end):
                    base = first[number] - start
                    repeated[order[base + max(start, known_start) : base + min(end, known_end)]] = True
                intervals = with_interval(intervals, start, end)
            states[name] = known_epoch, intervals
        return repeated, spans

    def apply(self, spans: Spans) -> None:
        """Take in what was seen, in the order in which :meth:`judge` told it."""
        if not len(spans.producer):
            return
        self._grow(int(spans.producer.max()))
        alone = np.bincount(spans.producer)[spans.producer] == 1
        follows = (spans.epoch == self._epoch[spans.producer]) & (spans.start == self._end[spans.producer])
        simple = alone & follows
        self._end[spans.producer[simple]] = spans.end[simple]
        for number in np.flatnonzero(~simple).tolist():
            name, epoch = int(spans.producer[number]), int(spans.epoch[number])
            if epoch < self._epoch[name]:
                continue
            intervals = self.intervals(name) if epoch == self._epoch[name] else []
            self.restore(
                name, epoch, with_interval(intervals, int(spans.start[number]), int(spans.end[number]))
            )

    def restore(self, producer: int, epoch: int, intervals: list[Interval]) -> None:
        """Set what was seen of one producer: at least one interval; all are sorted and apart."""
        self._grow(producer)
        *earlier, (start, end) = intervals[-MAX_INTERVALS:]
        self._epoch[producer], self._start[producer], self._end[producer] = epoch, start, end
        if earlier:
            self._earlier[producer] = earlier
        else:
            self._earlier.pop(producer, None)

    def epoch(self, producer: int) -> int:
        """Return the latest epoch seen of ``producer``, ``NO_EPOCH`` where none was."""
        return int(self._epoch[producer]) if producer < len(self._epoch) else NO_EPOCH

    def intervals(self, producer: int) -> list[Interval]:
        """Return what was seen of the producer's latest epoch."""
        if self.epoch(producer) == NO_EPOCH:
            return []
        last = int(self._start[producer]), int(self._end[producer])
        return [*self._earlier.get(producer, []), last]

    def _grow(self, producer: int) -> None:
        if producer >= len(self._epoch):
            more = max(producer + 1, 2 * len(self._epoch)) - len(self._epoch)
            self._epoch = np.append(self._epoch, np.full(more, NO_EPOCH))
            self._start = np.append(self._start, np.zeros(more, np.int64))
            self._end = np.append(self._end, np.zeros(more, np.int64))


def overlaps(intervals: list[Interval], start: int, end: int) -> list[Interval]:
    """Return those intervals that share numbers with ``[start, end)``.

    >>> overlaps([(0, 5), (7, 9)], 4, 7)
    [(0, 5)]
    """
    return [(low, high) for low, high in intervals if low < end and high > start]


def with_interval(intervals: list[Interval], start: int, end: int) -> list[Interval]:
    """Return the intervals with ``[start, end)`` joined in.

    >>> with_interval([(0, 5), (7, 9)], 5, 7)
    [(0, 9)]
    """
    left = bisect_left(intervals, start, key=lambda interval: interval[1])
    right = left
    while right < len(intervals) and intervals[right][0] <= end:
        start, end = min(start, intervals[right][0]), max(end, intervals[right][1])
        right += 1
    return [*intervals[:left], (start, end), *intervals[right:]]


def missing(intervals: list[Interval]) -> list[Interval]:
    """Return the gaps between intervals.

    >>> missing([(0, 5), (7, 9)])
    [(5, 7)]
    """
    return [(end, start) for (_, end), (start, _) in pairwise(intervals)]


def _spans(producer: Int32, epoch: Int64, sequence: Int64) -> tuple[Spans, npt.NDArray[np.intp]]:
    """Join readings that count on from one another; return the spans and where each begins."""
    goes_on = (
        (producer[1:] == producer[:-1]) & (epoch[1:] == epoch[:-1]) & (sequence[1:] == sequence[:-1] + 1)
    )
    first = np.flatnonzero(np.append(True, ~goes_on))
    last = np.append(first[1:], len(sequence)) - 1
    return Spans(producer[first], epoch[first], sequence[first], sequence[last] + 1), first


def _no_spans() -> Spans:
    nothing = np.empty(0, np.int64)
    return Spans(nothing.astype(np.int32), nothing, nothing, nothing)
