"""What becomes of each reading of a flush: the steps that every sink takes before it stores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from sinks.protocols import Flush, Part, Written
from streams.core.batch import Columns, Float64, Int16, Int32, Int64
from streams.core.deduplicate import Disposition
from streams.core.partition import Outcome, PartitionHistory, PartitionMemory
from streams.core.rejection import Reason, Rejection
from streams.core.validate import reading_payload

REFUSED = -1
"""Stands for a series that a sink does not take: its tenant has as many as it may have."""


@dataclass(frozen=True, slots=True)
class JudgedPart:
    """One part of a flush, decided on. ``foreign`` are readings of series that other partitions own."""

    part: Part
    outcome: Outcome
    rejections: list[Rejection]
    foreign: Columns
    foreign_home: Int32

    @property
    def series_id(self) -> Int32:
        """Series of the readings to store, in their order."""
        return self.outcome.rows.series_id[self.outcome.judgement.written]

    @property
    def time_us(self) -> Int64:
        """Event times of the readings to store."""
        return self.outcome.rows.time_us[self.outcome.judgement.written]

    @property
    def value(self) -> Float64:
        """Values of the readings to store."""
        return self.outcome.judgement.value[self.outcome.judgement.written]

    @property
    def quality(self) -> Int16:
        """Qualities of the readings to store."""
        return self.outcome.judgement.quality[self.outcome.judgement.written]

    @property
    def counts(self) -> Written:
        """How many readings came to what."""
        return Written(
            readings=len(self.outcome.judgement.written),
            dead_letters=len(self.rejections),
            duplicates=self.outcome.count(Disposition.DUPLICATE),
            corrections=self.outcome.count(Disposition.CORRECTION),
            forwarded=len(self.foreign),
            late=int(np.count_nonzero(self.outcome.late)),
            released=len(self.outcome.released.time_us),
        )


def judge_part(
    flush: Flush,
    part: Part,
    columns: Columns,
    series_id: Int32,
    home: Int32,
    own_home: int,
    memory: PartitionMemory,
    history: PartitionHistory,
) -> JudgedPart:
    """Sort out what is refused and what belongs to other partitions, and judge the rest.

    Tells ``part`` which of its readings are refused.
    """
    refused = series_id == REFUSED
    own = (home == own_home) & ~refused
    foreign = ~own & ~refused
    outcome = memory.judge(columns, series_id, flush.series, flush.producers, history, own)
    part.refused = [
        *(_series_limit(columns, row, flush) for row in np.flatnonzero(refused).tolist()),
        *outcome.rejections,
    ]
    rejections = sorted([*part.rejections, *part.refused], key=attrgetter("offset", "index"))
    return JudgedPart(part, outcome, rejections, columns.take(foreign), home[foreign])


def _series_limit(columns: Columns, row: int, flush: Flush) -> Rejection:
    tenant = flush.series.keys[columns.series[row]].tenant
    return Rejection.of(
        int(columns.offset[row]),
        int(columns.index[row]),
        Reason.SERIES_LIMIT,
        f"tenant {tenant!r} has as many series as max_series_per_tenant allows",
        reading_payload(columns, row, flush.series, flush.producers),
    )


def total(parts: Sequence[JudgedPart]) -> Written:
    """Add up what became of the readings of several parts."""
    counts = [part.counts for part in parts]
    return Written(*(sum(numbers) for numbers in zip(*counts, strict=True))) if counts else Written()
