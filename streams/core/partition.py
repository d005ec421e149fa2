"""What is known of one partition, to store each of its readings once and release them in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from streams.core.batch import NEVER_US, UNNUMBERED, Bools, Columns, Int32, Int64, Points
from streams.core.deduplicate import Conflict, Deduplicator, Disposition, History, Judgement, Rows
from streams.core.order import (
    Backlog,
    Dirty,
    Release,
    ReorderBuffer,
    count_by_lateness,
    dirty_buckets,
)
from streams.core.producers import Producer, Producers, ProducerState, Report, Span
from streams.core.rejection import Reason, Rejection
from streams.core.rollup import Closing, Rollups
from streams.core.sequences import Sequences, Spans
from streams.core.series import SeriesTable
from streams.core.validate import reading_payload
from streams.core.watch import Watch
from streams.core.watermark import Patience, Watermark

REORDER_BYTES = 64 * 1024 * 1024

MAX_PRODUCERS = 200_000
"""So many are remembered, or twice as many as there were at first."""


class Reached(NamedTuple):
    """How far event time has come in a partition, as it is stored with its offset.

    Everything before ``released_us`` was released. See :class:`~streams.core.watermark.Watermark`.
    """

    clock_ms: int | None = None
    era: int = 0
    watermark_us: int = NEVER_US
    released_us: int = NEVER_US


class PartitionHistory(History, Backlog, Protocol):
    """What the database holds of a partition."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of some readings of one partition, which one transaction stores.

    ``rejections`` are those of the readings that cannot be stored. ``late`` tells which of those to
    store, ``judgement.written``, the watermark had passed, and ``late_by`` counts them by how late.
    ``dirty`` are the buckets that they and late corrections fall into. ``closing`` has the rows of the
    buckets that are complete now. Take it in with :meth:`PartitionMemory.apply` before the next are judged;
    whoever cannot commit it forgets that memory.
    """

    rows: Rows
    judgement: Judgement
    rejections: list[Rejection]
    reports: list[Report]
    spans: Spans
    watermark: Watermark
    release: Release
    closing: Closing
    late: Bools
    late_by: tuple[int, ...]
    dirty: Dirty

    def count(self, disposition: Disposition) -> int:
        """Return how many readings have this disposition."""
        return int(np.count_nonzero(self.judgement.disposition == disposition))

    @property
    def stored(self) -> Points:
        """Readings to store, by series, then time."""
        rows, judgement = self.rows, self.judgement
        points = Points(rows.series_id, rows.time_us, judgement.value, judgement.quality)
        return points.take(judgement.written)

    @property
    def released(self) -> Points:
        """Readings that come next in the order of their series, by series, then time."""
        return self.release.points

    @property
    def belated(self) -> tuple[Int32, Int64]:
        """Series and time of what is stored and was never released: late readings, and late corrections."""
        return _belated(self.rows, self.judgement)

    @property
    def reached(self) -> Reached:
        """How far event time has come with this flush."""
        watermark = self.watermark
        return Reached(watermark.clock_ms, watermark.era, watermark.us, self.release.to_us)


class PartitionMemory:
    """Judges the readings of one partition; a cache of the database, which may be lost at any time.

    ``watch`` looks at what is released, where there is one; whoever applies an outcome shows it to it.
    """

    def __init__(
        self,
        deduplicator: Deduplicator,
        producers: Iterable[ProducerState] = (),
        reached: Reached | None = None,
        patience: Patience | None = None,
        reorder_bytes: int = REORDER_BYTES,
        rollups: Rollups | None = None,
        watch: Watch | None = None,
    ) -> None:
        clock_ms, era, watermark_us, released_us = reached or Reached()
        self.watch = watch
        self._deduplicator = deduplicator
        self._sequences = Sequences()
        self._producers = Producers()
        self._watermark = Watermark(patience or Patience(), clock_ms, era, watermark_us)
        self._buffer = ReorderBuffer(reorder_bytes, released_us)
        self._rollups = Rollups() if rollups is None else rollups
        for state in producers:
            number = self._producers.number(state.producer)
            self._watermark.restore(number, state.heard)
            if state.seen:
                self._sequences.restore(number, state.epoch, state.seen)
        self._max_producers = max(MAX_PRODUCERS, 2 * len(self._producers.names))

    def judge(
        self,
        columns: Columns,
        series_id: Int32,
        series: SeriesTable,
        producers: Sequence[str],
        history: PartitionHistory,
        own: Bools | None = None,
    ) -> Outcome:
        """Decide on readings in log order; changes nothing that a second call would notice.

        Those that are not ``own`` are judged elsewhere: only their producers and numbers count here.
        """
        numbers = self._producers.numbers_of(columns, series, producers)
        self._watermark.computing = self._producers.computing
        watermark, passed_us = self._watermark.after(numbers, columns.time_us, columns.stamp_ms)
        nameless = columns.producer == 0
        sequence = np.where(nameless, UNNUMBERED, columns.sequence)
        repeated, spans = self._sequences.judge(numbers, columns.epoch, sequence)
        if own is not None and not own.all():
            columns, series_id = columns.take(own), series_id[own]
            repeated, passed_us = repeated[own], passed_us[own]
        rows = Rows(
            series_id,
            columns.time_us,
            columns.value,
            columns.quality,
            columns.revision,
            repeated,
            columns.time_us < passed_us,
        )
        judgement = self._deduplicator.judge(rows, history)
        late = rows.late[judgement.written]
        release = self._release(rows, judgement, watermark.us, history)
        lateness_us = (passed_us - columns.time_us)[judgement.written[late]]
        return Outcome(
            rows,
            judgement,
            _rejections(columns, judgement, series, producers),
            self._reports(numbers, watermark, spans),
            spans,
            watermark,
            release,
            self._rollups.close(release.points, release.to_us),
            late,
            count_by_lateness(lateness_us),
            dirty_buckets(*_belated(rows, judgement)),
        )

    def apply(self, outcome: Outcome) -> None:
        """Take in what is stored, whether committed or still to be."""
        self._sequences.apply(outcome.spans)
        self._deduplicator.apply(outcome.rows, outcome.judgement)
        self._watermark = outcome.watermark
        self._buffer.apply(outcome.release)
        self._rollups.apply(outcome.closing)

    def limit(self, identities_bytes: int, reorder_bytes: int) -> None:
        """Set how many bytes may be spent on remembering identities, and on holding readings back."""
        self._deduplicator.recent.limit(identities_bytes)
        self._buffer.limit(reorder_bytes)

    @property
    def is_overgrown(self) -> bool:
        """Whether it is better read anew, because it knows many producers that do not count any more."""
        return len(self._producers.names) > self._max_producers

    def state(self, producer: Producer) -> ProducerState:
        """Return what is known of a producer, for storing."""
        number = self._producers.number(producer)
        (heard,) = self._watermark.heard(np.array([number]))
        return ProducerState(
            producer, heard, self._sequences.epoch(number), self._sequences.intervals(number)
        )

    def _release(
        self, rows: Rows, judgement: Judgement, watermark_us: int, history: PartitionHistory
    ) -> Release:
        written = judgement.written
        corrections = np.flatnonzero(judgement.disposition == Disposition.CORRECTION)
        points = Points(rows.series_id, rows.time_us, rows.value, rows.quality)
        # Each as it arrived. What corrects it comes after it, unless that is late.
        arrived = [points.take(some[~rows.late[some]]) for some in (written, corrections) if len(some)]
        return self._buffer.release(arrived, watermark_us, self._deduplicator.newest_us, history)

    def _reports(self, numbers: Int32, watermark: Watermark, spans: Spans) -> list[Report]:
        brought: dict[int, list[Span]] = {}
        for number, *span in zip(*(part.tolist() for part in spans), strict=True):
            brought.setdefault(number, []).append(Span(*span))
        heard = np.flatnonzero(np.bincount(numbers))
        return [
            Report(self._producers.names[number], last, brought.get(number, ()))
            for number, last in zip(heard.tolist(), watermark.heard(heard), strict=True)
        ]


EXPIRED_DETAIL = "older than the readings that are kept: it cannot be told from a repeat"


def _belated(rows: Rows, judgement: Judgement) -> tuple[Int32, Int64]:
    disposition = judgement.disposition
    stored = (disposition == Disposition.WRITTEN) | (disposition == Disposition.CORRECTION)
    late = stored & rows.late
    return rows.series_id[late], rows.time_us[late]


def _rejections(
    columns: Columns, judgement: Judgement, series: SeriesTable, producers: Sequence[str]
) -> list[Rejection]:
    expired = np.flatnonzero(judgement.disposition == Disposition.EXPIRED).tolist()
    said = [
        *((row, Reason.EXPIRED, EXPIRED_DETAIL) for row in expired),
        *((conflict.row, Reason.CONFLICT, _in_words(columns, conflict)) for conflict in judgement.conflicts),
    ]
    return [_rejection(columns, row, reason, detail, series, producers) for row, reason, detail in said]


def _in_words(columns: Columns, conflict: Conflict) -> str:
    if conflict.stored is None:
        return f"sequence {int(columns.sequence[conflict.row])} was used before for another reading"
    stored = conflict.stored
    return (
        f"stored are value {stored.value!r}, quality {stored.quality}, revision {stored.revision}; "
        f"this one has {float(columns.value[conflict.row])!r}, {int(columns.quality[conflict.row])}, "
        f"{int(columns.revision[conflict.row])}"
    )


def _rejection(
    columns: Columns, row: int, reason: Reason, detail: str, series: SeriesTable, producers: Sequence[str]
) -> Rejection:
    payload = reading_payload(columns, row, series, producers)
    return Rejection.of(int(columns.offset[row]), int(columns.index[row]), reason, detail, payload)
