"""What becomes of each reading of a flush: the steps that every sink takes before it stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

import numpy as np

from sinks.protocols import Flush, Part, Written
from streams.core.batch import Columns, Int32, Int64
from streams.core.deduplicate import Disposition
from streams.core.partition import Outcome, PartitionHistory, PartitionMemory, Reached
from streams.core.producers import Producer, Report
from streams.core.rejection import Reason, Rejection
from streams.core.validate import reading_payload
from streams.core.watch import Watch

SLICE_ROWS = 16_384
"""So many readings of a part are judged first: while they are, nothing can be stored."""

GROWTH = 4
"""The next slice is so many times as long. Storing takes several times as long as judging, and the runs of
a series in a longer slice are longer, which are stored faster."""

REFUSED = -1
"""Stands for a series that a sink does not take: its tenant has as many as it may have."""


@dataclass(frozen=True)
class JudgedPart:
    """One part of a flush, decided on, slice by slice.

    ``foreign`` are readings of series that other partitions own. ``part.sightings`` are what detectors
    found in what it releases.
    """

    part: Part
    outcomes: Sequence[Outcome]
    rejections: list[Rejection]
    foreign: Columns
    foreign_home: Int32

    @property
    def reached(self) -> Reached:
        """How far event time has come with this part."""
        return self.outcomes[-1].reached

    @property
    def belated(self) -> tuple[Int32, Int64]:
        """Series and time of what is stored and was never released."""
        series_id, time_us = zip(*(outcome.belated for outcome in self.outcomes), strict=True)
        return np.concatenate(series_id), np.concatenate(time_us)

    @cached_property
    def late_by(self) -> list[int]:
        """How many readings to store were late, by how late."""
        return [sum(counts) for counts in zip(*(outcome.late_by for outcome in self.outcomes), strict=True)]

    @cached_property
    def reports(self) -> list[Report]:
        """What was heard of each producer."""
        said: dict[Producer, Report] = {}
        for report in (report for outcome in self.outcomes for report in outcome.reports):
            before = said.get(report.producer)
            spans = [*before.spans, *report.spans] if before else report.spans
            said[report.producer] = report._replace(spans=spans)
        return list(said.values())

    @cached_property
    def counts(self) -> Written:
        """How many readings came to what."""
        return Written(
            readings=sum(len(outcome.judgement.written) for outcome in self.outcomes),
            dead_letters=len(self.rejections),
            duplicates=self._count(Disposition.DUPLICATE),
            corrections=self._count(Disposition.CORRECTION),
            forwarded=len(self.foreign),
            late=sum(self.late_by),
            released=sum(len(outcome.released.time_us) for outcome in self.outcomes),
        )

    def _count(self, disposition: Disposition) -> int:
        return sum(outcome.count(disposition) for outcome in self.outcomes)


@dataclass(frozen=True, slots=True)
class ResolvedPart:
    """One part of a flush whose series are known: the number of each reading's series, and of its home."""

    part: Part
    columns: Columns
    series_id: Int32
    home: Int32
    own_home: int

    def judge(
        self,
        flush: Flush,
        memory: PartitionMemory,
        history: PartitionHistory,
        rows: slice = slice(None),
    ) -> Outcome:
        """Judge some of the readings; ``memory`` has taken in what came of those before them."""
        series_id = self.series_id[rows]
        own = (self.home[rows] == self.own_home) & (series_id != REFUSED)
        columns = self.columns.take(rows)
        return memory.judge(columns, series_id, flush.series, flush.producers, history, own)

    def introduce(self, flush: Flush, watch: Watch) -> None:
        """Tell which of the series that are new to detectors they do not look at."""
        if watch.choice.left_out:
            indices, rows = np.unique(self.columns.series, return_index=True)
            series = self.series_id[rows].astype(np.int64)
            new = (series != REFUSED) & watch.is_new(series)
            left_out = [
                number
                for index, number in zip(indices[new].tolist(), series[new].tolist(), strict=True)
                if not watch.choice.watches(flush.series.keys[index].metric)
            ]
            watch.leave_out(np.array(left_out, np.int64))

    def judged(self, flush: Flush, outcomes: Sequence[Outcome]) -> JudgedPart:
        """Sort out what is refused and what belongs to other partitions, when all is judged.

        Tells the part which of its readings are refused.
        """
        part, refused = self.part, self.series_id == REFUSED
        foreign = (self.home != self.own_home) & ~refused
        part.refused = [
            *(_series_limit(self.columns, row, flush) for row in np.flatnonzero(refused).tolist()),
            *(rejection for outcome in outcomes for rejection in outcome.rejections),
        ]
        rejections = sorted([*part.rejections, *part.refused], key=attrgetter("offset", "index"))
        return JudgedPart(part, outcomes, rejections, self.columns.take(foreign), self.home[foreign])


def halves(parts: Sequence[ResolvedPart]) -> tuple[list[ResolvedPart], list[ResolvedPart]]:
    """Share parts out into two groups of about as many readings."""
    groups: tuple[list[ResolvedPart], list[ResolvedPart]] = [], []
    for part in sorted(parts, key=_readings, reverse=True):
        min(groups, key=lambda group: (sum(map(_readings, group)), len(group))).append(part)
    return groups


def _readings(part: ResolvedPart) -> int:
    return part.part.readings


def _series_limit(columns: Columns, row: int, flush: Flush) -> Rejection:
    tenant = flush.series.keys[columns.series[row]].tenant
    return Rejection.of(
        int(columns.offset[row]),
        int(columns.index[row]),
        Reason.SERIES_LIMIT,
        f"tenant {tenant!r} has as many series as max_series_per_tenant allows",
        reading_payload(columns, row, flush.series, flush.producers),
    )


def slices(rows: int, first: int = SLICE_ROWS) -> Iterator[slice]:
    """Cut so many readings into slices of ``first``, then ``GROWTH`` times as many each time; at least one.

    >>> [(rows.start, rows.stop) for rows in slices(100, first=10)]
    [(0, 10), (10, 50), (50, 100)]
    """
    start, length = 0, first
    while rows - start > length:
        yield slice(start, start + length)
        start, length = start + length, GROWTH * length
    yield slice(start, rows)


def total(parts: Sequence[JudgedPart]) -> Written:
    """Add up what became of the readings of several parts."""
    counts = [part.counts for part in parts]
    return Written(*(sum(numbers) for numbers in zip(*counts, strict=True))) if counts else Written()
