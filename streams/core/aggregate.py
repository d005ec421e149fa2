"""What is known of a series in a bucket of time, and how parts of it are put together.

A row tells of the readings in its bucket and of nothing else. So a reading that comes late changes its
own bucket and those above it, never the next one; and parts merge in any grouping. What crosses the
edge of a bucket, the rise of a counter since the reading before and the time that reading's value
held, follows from ``first`` and ``last`` of two rows: merging adds it, and so does whoever reads.

A reading of bad quality, or whose value is not finite or beyond ``LARGEST``, says nothing: it is
counted, as ``bad``, and is in no other column. An uncertain one counts like a good one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from schemas.encode import BAD
from streams.core.batch import NEVER_US, Bools, Float64, Int32, Int64, Points
from streams.core.deduplicate import series_time_order

Places = npt.NDArray[np.intp]
Column = TypeVar("Column", Int64, Float64)
_Values = tuple[npt.NDArray[Any], ...]
"""The columns that usable readings make: those of :class:`Aggregates` from ``sum`` on."""

LARGEST = 1e140
"""Squares of what is beyond it leave the range of a double when they are added; nothing is so large."""

SHORT = 8
"""Groups of up to so many rows are reduced place by place: ``reduceat`` is slow to begin each group."""


class Aggregates(NamedTuple):
    """Readings of series in buckets, one row for each that has readings, by series, then bucket.

    ========== ======= ===========================================================================
    series_id  int32   the series in the database
    bucket_us  int64   begin of the bucket, microseconds since 1970-01-01 UTC
    readings   int64   how many, ``bad`` ones among them
    bad        int64   readings that say nothing; all others are ``usable``
    sum        float64 of the usable values
    min, max   float64 the lowest and the highest usable value; NaN where there is none
    first      float64 the earliest usable value; NaN where there is none
    first_us   int64   its event time; ``NEVER_US`` where there is none
    last       float64 the latest usable value; NaN where there is none
    last_us    int64   its event time; ``NEVER_US`` where there is none
    m2         float64 sum of the squared differences from the mean, which merges (Chan et al. 1979)
    increase   float64 what a counter rose by from ``first`` to ``last``; a fall is a restart from 0
    integral   float64 values times the seconds that each held until the next, from first to last
    ========== ======= ===========================================================================
    """

    series_id: Int32
    bucket_us: Int64
    readings: Int64
    bad: Int64
    sum: Float64
    min: Float64
    max: Float64
    first: Float64
    first_us: Int64
    last: Float64
    last_us: Int64
    m2: Float64
    increase: Float64
    integral: Float64

    @property
    def usable(self) -> Int64:
        """How many readings say something."""
        return self.readings - self.bad

    def take(self, rows: Places | Bools) -> Aggregates:
        """Return the rows that ``rows`` (indices or a mask) selects."""
        return Aggregates._make(column[rows] for column in self)

    @staticmethod
    def concat(parts: Sequence[Aggregates]) -> Aggregates:
        """Join several in the order given."""
        if len(parts) == 1:
            return parts[0]
        return Aggregates._make(map(np.concatenate, zip(*parts, strict=True))) if parts else NOTHING


def aggregate(points: Points, width_us: int) -> Aggregates:
    """Return the rows of readings, which are in order of series, then time.

    >>> points = Points(np.array([7, 7, 7]), np.array([1, 2, 62]), np.array([5.0, 3.0, 4.0]), np.zeros(3))
    >>> rows = aggregate(points, width_us=60)
    >>> rows.bucket_us.tolist(), rows.readings.tolist(), rows.min.tolist(), rows.increase.tolist()
    ([0, 60], [2, 1], [3.0, 4.0], [3.0, 0.0])
    """
    bucket_us = points.time_us // width_us * width_us
    begins = _begins(points.series_id, bucket_us)
    groups = _Groups(begins)
    keys = points.series_id[groups.starts], bucket_us[groups.starts]
    count = groups.lengths
    usable = (np.abs(points.value) <= LARGEST) & (points.quality != BAD)
    if usable.all():
        values = _of_readings(points.value, points.time_us, groups)
        return Aggregates._make((*keys, count, np.zeros_like(count), *values))
    group, some = groups.numbers[usable], points.take(usable)
    bad = count - np.bincount(group, minlength=len(count))
    values = _of_readings(some.value, some.time_us, _Groups(_changes(group)))
    return Aggregates._make((*keys, count, bad, *_spread(values, bad < count)))


def merge(parts: Sequence[Aggregates]) -> Aggregates:
    """Put parts together: rows of one series and bucket become one.

    Of each such row the readings come after those of the rows in earlier parts.
    """
    rows = Aggregates.concat(parts)
    return rows if len(parts) < 2 else _put_together(rows.take(series_time_order(rows[0], rows[1])))


def coarsen(rows: Aggregates, width_us: int) -> Aggregates:
    """Return the rows of wider buckets; ``width_us`` is a multiple of what the rows have."""
    return _put_together(rows._replace(bucket_us=rows.bucket_us // width_us * width_us))


def _put_together(rows: Aggregates) -> Aggregates:
    """Make one of adjacent rows of the same series and bucket, which are in order of time."""
    begins = _begins(rows.series_id, rows.bucket_us)
    if begins.all():
        return rows
    groups = _Groups(begins)
    keys = rows.series_id[groups.starts], rows.bucket_us[groups.starts]
    count, bad = groups.reduce(np.add, rows.readings), groups.reduce(np.add, rows.bad)
    usable = rows.bad < rows.readings
    if usable.all():
        return Aggregates._make((*keys, count, bad, *_of_rows(rows, groups)))
    values = _of_rows(rows.take(usable), _Groups(_changes(groups.numbers[usable])))
    return Aggregates._make((*keys, count, bad, *_spread(values, bad < count)))


class _Groups:
    """Adjacent rows that belong together: where each group begins, and how long it is."""

    def __init__(self, begins: Bools) -> None:
        self.starts = np.flatnonzero(begins)
        self.lengths = np.diff(self.starts, append=len(begins))
        self.ends = self.starts + self.lengths - 1
        self._begins = begins
        longest = int(self.lengths.max(initial=0))
        self._is_short = longest <= SHORT
        self._steps = self._further(longest) if self._is_short else []

    @property
    def numbers(self) -> Int64:
        """The number of each row's group."""
        return np.cumsum(self._begins) - 1

    def reduce(self, operation: np.ufunc, column: Column) -> Column:
        """Return ``operation`` over each group."""
        if not self._is_short:
            reduced: Column = operation.reduceat(column, self.starts)
            return reduced
        reduced = column[self.starts]
        for group, row in self._steps:
            reduced[group] = operation(reduced[group], column[row])
        return reduced

    def _further(self, longest: int) -> list[tuple[Places, Places]]:
        """Return the groups that have a second row, a third and so on, and which row that is."""
        groups = (np.flatnonzero(self.lengths > place) for place in range(1, longest))
        return [(group, self.starts[group] + place) for place, group in enumerate(groups, 1)]


def _of_readings(value: Float64, time_us: Int64, groups: _Groups) -> _Values:
    starts, ends = groups.starts, groups.ends
    total = groups.reduce(np.add, value)
    squares = np.square(value - np.repeat(total / groups.lengths, groups.lengths))
    held, fell = np.zeros_like(value), np.zeros_like(value)
    held[:-1] = value[:-1] * (np.diff(time_us) * 1e-6)
    held[ends] = 0.0
    np.copyto(fell[1:], value[:-1], where=value[1:] < value[:-1])
    fell[starts] = 0.0
    return (
        total,
        *_extremes(value, value, groups),
        value[starts],
        time_us[starts],
        value[ends],
        time_us[ends],
        groups.reduce(np.add, squares),
        value[ends] - value[starts] + groups.reduce(np.add, fell),
        groups.reduce(np.add, held),
    )


def _of_rows(rows: Aggregates, groups: _Groups) -> _Values:
    starts, ends, usable = groups.starts, groups.ends, rows.usable
    total = groups.reduce(np.add, rows.sum)
    mean = total / groups.reduce(np.add, usable)
    squares = rows.m2 + usable * np.square(rows.sum / usable - np.repeat(mean, groups.lengths))
    rose, held = rows.increase.copy(), rows.integral.copy()
    before, after = rows.last[:-1], rows.first[1:]
    rose[1:] += np.where(after < before, after, after - before)
    rose[starts] = rows.increase[starts]
    held[:-1] += before * ((rows.first_us[1:] - rows.last_us[:-1]) * 1e-6)
    held[ends] = rows.integral[ends]
    return (
        total,
        *_extremes(rows.min, rows.max, groups),
        rows.first[starts],
        rows.first_us[starts],
        rows.last[ends],
        rows.last_us[ends],
        groups.reduce(np.add, squares),
        groups.reduce(np.add, rose),
        groups.reduce(np.add, held),
    )


def _extremes(low: Float64, high: Float64, groups: _Groups) -> tuple[Float64, Float64]:
    # Which of 0.0 and -0.0 is lower depends on their order; adding zero leaves only one of them.
    return groups.reduce(np.minimum, low) + 0.0, groups.reduce(np.maximum, high) + 0.0


def _spread(values: _Values, has_some: Bools) -> _Values:
    """Return ``values`` where there are some, and what stands for none elsewhere."""
    spread = []
    for column, none in zip(values, _NONE, strict=True):
        whole = np.full(len(has_some), none, column.dtype)
        whole[has_some] = column
        spread.append(whole)
    return tuple(spread)


def _begins(series_id: Int32, bucket_us: Int64) -> Bools:
    return _changes(series_id) | _changes(bucket_us)


def _changes(keys: npt.NDArray[np.signedinteger]) -> Bools:
    """Tell where a key is not that of its predecessor."""
    changes = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=changes[1:])
    return changes


_NAN = float("nan")
_NONE = (0.0, _NAN, _NAN, _NAN, NEVER_US, _NAN, NEVER_US, 0.0, 0.0, 0.0)
NOTHING = aggregate(Points.concat([]), 1)
"""No rows."""
