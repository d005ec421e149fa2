"""Each reading once: tells repeats, corrections and conflicts from first arrivals.

A reading's identity is (series, event time), and beside it (producer, epoch, sequence). The database
is the truth. Most readings need no look-up, because they are later than anything stored of their
series; the others are looked for among the recent ones in memory, and beyond that in the database.
Nothing is guessed: every key is compared whole.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from streams.core.batch import NEVER_US, Bools, Float64, Int16, Int32, Int64
from streams.core.floors import NO_FLOORS, Floors
from streams.core.identities import RecentIdentities, Stored

KEPT_FOREVER_US = NEVER_US
"""``floor_us`` of a database from which nothing was dropped yet."""


class Disposition(IntEnum):
    """What becomes of a reading."""

    WRITTEN = 0
    DUPLICATE = 1
    CORRECTION = 2
    CONFLICT = 3
    EXPIRED = 4
    FORWARDED = 5


@dataclass(frozen=True, slots=True)
class Rows:
    """Readings of one partition in log order.

    ``repeated``: the sequence number was seen before. ``late``: the watermark had passed the event time.
    """

    series_id: Int32
    time_us: Int64
    value: Float64
    quality: Int16
    revision: Int32
    repeated: Bools
    late: Bools

    def __len__(self) -> int:
        return len(self.time_us)


class History(Protocol):
    """What the database holds, for the identities that memory does not cover."""

    def stored(self, series_id: Int64, time_us: Int64) -> Stored:
        """Look identities up; they are sorted by series, then time."""

    def revision(self, series_id: int, time_us: int) -> tuple[int, bool]:
        """Return the revision of a stored reading, and whether it came with something late.

        0 and no where none was ever recorded.
        """


class Version(NamedTuple):
    """One version of a reading, for the history of those that were corrected or carry a revision.

    ``late``: its value replaced another when the watermark had passed its event time.
    """

    series_id: int
    time_us: int
    revision: int
    value: float
    quality: int
    late: bool = False


class Conflict(NamedTuple):
    """A reading whose identity is taken. ``stored`` is what has it, None where only the number is taken."""

    row: int
    stored: Version | None


@dataclass(slots=True)
class Judgement:
    """What becomes of each of some rows, and what is to be stored of them.

    ``written`` are the rows to store, by series, then time. ``value`` and ``quality`` are those of all
    rows, with corrections among the rows themselves applied. ``corrected`` are new values of readings
    stored before. ``versions`` go into the history of readings that were corrected.
    """

    disposition: npt.NDArray[np.int8]
    written: npt.NDArray[np.intp]
    value: Float64
    quality: Int16
    corrected: list[Version] = field(default_factory=list)
    versions: list[Version] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)


class Deduplicator:
    """Judges the readings of one partition, whose series nobody else writes.

    :meth:`judge` changes nothing; :meth:`apply` takes a judgement in.
    ``latest_us`` is the latest event time stored of each ``series_id``, ``newest_us`` of them all.
    ``floor_us``: what is earlier may have left the database, and a repeat of what has cannot be told from a
    first arrival; ``floors`` are those of series that have a later one.
    """

    def __init__(
        self,
        max_bytes: int,
        series_id: Int64,
        latest_us: Int64,
        floor_us: int,
        floors: Floors = NO_FLOORS,
    ) -> None:
        self.floor_us = floor_us
        self._floors = floors
        self.newest_us = int(latest_us.max(initial=NEVER_US))
        self._latest_us = np.full(int(series_id.max(initial=0)) + 1, NEVER_US)
        self._latest_us[series_id] = latest_us
        self.recent = RecentIdentities(max_bytes, max(int(latest_us.max(initial=-1)) + 1, 0))

    def judge(self, rows: Rows, history: History) -> Judgement:
        """Decide on ``rows``, asking ``history`` where memory does not know."""
        disposition = np.full(len(rows), Disposition.DUPLICATE, np.int8)
        gone = (rows.time_us < self.floor_us) | self._floors.are_above(rows.series_id, rows.time_us)
        order = series_time_order(rows.series_id, rows.time_us)
        disposition[_unknown(rows, order[(gone & ~rows.repeated)[order]], history)] = Disposition.EXPIRED
        order = order[~gone[order]]
        judgement = Judgement(disposition, order, rows.value.copy(), rows.quality.copy())
        if len(order):
            self._judge(rows, order, history, judgement)
        judgement.written = order[disposition[order] == Disposition.WRITTEN]
        return judgement

    def apply(self, rows: Rows, judgement: Judgement) -> None:
        """Take in what was judged, and is stored."""
        written = judgement.written
        series_id, time_us = rows.series_id[written].astype(np.int64), rows.time_us[written]
        self.recent.add(series_id, time_us, judgement.value[written], judgement.quality[written])
        for version in judgement.corrected:
            self.recent.correct(version.series_id, version.time_us, version.value, version.quality)
        if len(written):
            last = np.flatnonzero(np.append(series_id[1:] != series_id[:-1], True))
            self._grow(int(series_id[-1]))
            self._latest_us[series_id[last]] = np.maximum(self._latest_us[series_id[last]], time_us[last])
            self.newest_us = max(self.newest_us, int(time_us.max()))

    def _judge(self, rows: Rows, order: npt.NDArray[np.intp], history: History, judgement: Judgement) -> None:
        series_id, time_us = rows.series_id[order].astype(np.int64), rows.time_us[order]
        first = np.append(True, (series_id[1:] != series_id[:-1]) | (time_us[1:] != time_us[:-1]))
        starts = np.flatnonzero(first)
        group = np.cumsum(first) - 1
        stored = self._stored(series_id[starts], time_us[starts], history)
        fresh = ~stored.found
        lead = order[starts]
        value = np.where(fresh, rows.value[lead], stored.value)
        quality = np.where(fresh, rows.quality[lead], stored.quality)
        odd = ~_same(rows.value[order], value[group]) | (rows.quality[order] != quality[group])
        odd |= (rows.revision[order] > 0) | (rows.repeated[order] & fresh[group])
        judgement.disposition[lead[fresh]] = Disposition.WRITTEN
        ends = np.append(starts[1:], len(order))
        for number in np.unique(group[odd]).tolist():
            members = order[starts[number] : ends[number]]
            current = None
            if stored.found[number]:
                identity = int(series_id[starts[number]]), int(time_us[starts[number]])
                revision, late = history.revision(*identity)
                content = float(stored.value[number]), int(stored.quality[number])
                current = Version(*identity, revision, *content, late)
            _judge_in_turn(rows, members.tolist(), current, judgement)

    def _stored(self, series_id: Int64, time_us: Int64, history: History) -> Stored:
        """Look up what is stored of some identities, which are sorted and all different."""
        stored = Stored.nothing(len(series_id))
        self._grow(int(series_id[-1]))
        asked = np.flatnonzero(time_us <= self._latest_us[series_id])
        covered = self.recent.covers(series_id[asked], time_us[asked])
        for rows, find in ((asked[covered], self.recent.find), (asked[~covered], history.stored)):
            if len(rows):
                answer = find(series_id[rows], time_us[rows])
                stored.found[rows] = answer.found
                stored.value[rows] = answer.value
                stored.quality[rows] = answer.quality
        return stored

    def _grow(self, series_id: int) -> None:
        if series_id >= len(self._latest_us):
            more = np.full(max(series_id + 1, 2 * len(self._latest_us)) - len(self._latest_us), NEVER_US)
            self._latest_us = np.append(self._latest_us, more)


def _judge_in_turn(rows: Rows, members: list[int], current: Version | None, judgement: Judgement) -> None:
    """Judge the readings of one identity one after the other; ``current`` is what is stored of it."""
    before, written = current, None
    for row in members:
        version = Version(
            int(rows.series_id[row]),
            int(rows.time_us[row]),
            int(rows.revision[row]),
            float(rows.value[row]),
            int(rows.quality[row]),
            current is not None and bool(rows.late[row]),
        )
        if current is None and rows.repeated[row]:
            judgement.disposition[row] = Disposition.CONFLICT
            judgement.conflicts.append(Conflict(row, None))
        elif current is None:
            judgement.disposition[row] = Disposition.WRITTEN
            written, current = row, version
            if version.revision:
                judgement.versions.append(version)
        elif _bits(version.value) == _bits(current.value) and version.quality == current.quality:
            judgement.disposition[row] = Disposition.DUPLICATE
            if version.revision > current.revision:
                current = version._replace(late=current.late)
                judgement.versions.append(current)
        elif version.revision > current.revision:
            judgement.disposition[row] = Disposition.CORRECTION
            judgement.versions += [current, version]
            current = version
        else:
            judgement.disposition[row] = Disposition.CONFLICT
            judgement.conflicts.append(Conflict(row, current))
    if current is not None and written is not None:
        judgement.value[written], judgement.quality[written] = current.value, current.quality
    elif current is not None and before is not None and _content(current) != _content(before):
        judgement.corrected.append(current)


def _unknown(rows: Rows, order: npt.NDArray[np.intp], history: History) -> npt.NDArray[np.intp]:
    """Return those of some rows, which are in order, that are not stored as they are.

    What may have left the database may also be there still, or again.
    """
    if len(order) == 0:
        return order
    stored = history.stored(rows.series_id[order].astype(np.int64), rows.time_us[order])
    known = stored.found & _same(rows.value[order], stored.value) & (rows.quality[order] == stored.quality)
    unknown: npt.NDArray[np.intp] = order[~known]
    return unknown


def _same(one: Float64, other: Float64) -> Bools:
    """Compare bit by bit: the NaN of a bad reading equals itself."""
    return np.equal(one.view(np.int64), other.view(np.int64))


def _content(version: Version) -> tuple[bytes, int]:
    return _bits(version.value), version.quality


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)


def series_time_order(series_id: Int32, time_us: Int64) -> npt.NDArray[np.intp]:
    """Return the stable order of readings by series, then time.

    Both are packed into one integer where they fit, because what producers send is made of sorted
    runs, which a stable sort of one key merges far faster than a sort by two keys.

    >>> series_time_order(np.array([2, 1, 2], np.int32), np.array([5, 9, 4])).tolist()
    [1, 2, 0]
    """
    if len(time_us) == 0:
        return np.empty(0, np.intp)
    first_series, first_us = int(series_id.min()), int(time_us.min())
    span_us = int(time_us.max()) - first_us + 1
    if (int(series_id.max()) - first_series + 1) * span_us > np.iinfo(np.int64).max:
        return np.lexsort((time_us, series_id))
    key = (series_id - np.int64(first_series)) * span_us + (time_us - first_us)
    return np.argsort(key, kind="stable")
