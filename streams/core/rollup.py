"""Rollups of one partition: the rows of each level, as the readings that make them are released.

Readings are released in order, so a bucket is complete once all of its time is released: it is closed,
written once, and is a part of a bucket of the next level. Late readings are not among them; whoever
computes dirty buckets again adds those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from streams.core.aggregate import NOTHING, Aggregates, aggregate, coarsen, merge
from streams.core.batch import Points
from streams.core.levels import DAY_US, MINUTE_US, check_levels

LEVELS_US = (MINUTE_US, 15 * MINUTE_US, 60 * MINUTE_US, DAY_US)

MAX_RUNS = 64
MIN_ROWS = 20_000
GROWTH = 2
"""Runs are merged when they have so many times the rows of the first, which was merged before."""

Runs = tuple[Aggregates, ...]


class Closing(NamedTuple):
    """What the release of some readings closes: ``closed`` are complete rows, of the level of each width."""

    widths_us: tuple[int, ...]
    closed: tuple[Aggregates, ...]
    open: tuple[Runs, ...]

    def of_width(self, width_us: int) -> Aggregates:
        """Return the complete rows of a level; none where there is no such level."""
        return self.closed[self.widths_us.index(width_us)] if width_us in self.widths_us else NOTHING


def begin_us(time_us: int, width_us: int) -> int:
    """Return where the bucket begins that holds a time.

    >>> begin_us(125, width_us=60)
    120
    """
    return time_us // width_us * width_us


class Rollups:
    """The buckets of one partition that are still open; a cache of the database.

    ``widths_us`` are the levels, each computed from the one before. What is released to ``to_us`` already
    is given by ``rows``, for each level: of the lowest one, what readings since
    ``begin_us(to_us, widths_us[0])`` make; of others, what the closed rows of the level below make since
    where the bucket begins that holds ``to_us``. So only the lowest level needs readings.

    :meth:`close` changes nothing; :meth:`apply` takes it in once it is committed.

    >>> import numpy as np
    >>> points = Points(np.array([7, 7]), np.array([1, 61]), np.array([5.0, 3.0]), np.zeros(2))
    >>> closing = Rollups([60, 120]).close(points, to_us=119)
    >>> [rows.bucket_us.tolist() for rows in closing.closed]
    [[0], []]
    """

    def __init__(self, widths_us: Sequence[int] = LEVELS_US, rows: Sequence[Aggregates] = ()) -> None:
        check_levels(widths_us)
        self._widths_us = tuple(widths_us)
        missing = [NOTHING] * (len(widths_us) - len(rows))
        self._open: tuple[Runs, ...] = tuple(_runs([each]) for each in (*rows, *missing))

    def __len__(self) -> int:
        return sum(_count(runs) for runs in self._open)

    def close(self, points: Points, to_us: int) -> Closing:
        """Return what is complete now that all before ``to_us`` is released, ``points`` of it last.

        They are in order of series, then time, and none is earlier than what was released before.
        """
        part = aggregate(points, self._widths_us[0])
        closed: list[Aggregates] = []
        still_open: list[Runs] = []
        for runs, width_us in zip(self._open, self._widths_us, strict=True):
            complete, rest = _close((*runs, coarsen(part, width_us)), begin_us(to_us, width_us))
            closed.append(complete)
            still_open.append(rest)
            part = complete
        return Closing(self._widths_us, tuple(closed), tuple(still_open))

    def apply(self, closing: Closing) -> None:
        """Take in what a committed transaction closed."""
        self._open = closing.open


def _close(parts: Sequence[Aggregates], end_us: int) -> tuple[Aggregates, Runs]:
    """Return the rows whose buckets begin before ``end_us``, and what remains."""
    runs = _runs(parts)
    if all(int(run.bucket_us.min()) >= end_us for run in runs):
        return NOTHING, _bounded(runs)
    rows = merge(runs)
    complete = rows.bucket_us < end_us
    return rows.take(complete), _runs([rows.take(~complete)])


def _bounded(runs: Runs) -> Runs:
    if len(runs) > MAX_RUNS or (runs and _count(runs) > MIN_ROWS + GROWTH * _count(runs[:1])):
        return (merge(runs),)
    return runs


def _runs(parts: Sequence[Aggregates]) -> Runs:
    return tuple(part for part in parts if len(part.readings))


def _count(runs: Runs) -> int:
    return sum(len(run.readings) for run in runs)
