"""What is known of one partition, so that each of its readings is stored once: the stateful stages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streams.core.batch import UNNUMBERED, Bools, Columns, Int32
from streams.core.deduplicate import Conflict, Deduplicator, Disposition, History, Judgement, Rows
from streams.core.rejection import Reason, Rejection
from streams.core.sequences import Interval, Sequences, Spans
from streams.core.series import SeriesTable
from streams.core.validate import reading_payload

_PRODUCER_BITS = 32


class Producer(NamedTuple):
    """A producer by its name, which tenants choose independently."""

    tenant: str
    name: str


class Numbered(NamedTuple):
    """Numbers ``[start, end)`` that arrived of a producer's epoch, and when the last did."""

    producer: Producer
    epoch: int
    start: int
    end: int
    stamp_ms: int


class ProducerState(NamedTuple):
    """What was seen of one producer, as it is stored."""

    producer: Producer
    epoch: int
    seen: list[Interval]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of the readings of one partition in one flush.

    ``rejections`` are those of the readings that cannot be stored. Take it in with
    :meth:`PartitionMemory.apply` once it is committed.
    """

    rows: Rows
    judgement: Judgement
    rejections: list[Rejection]
    numbered: list[Numbered]
    spans: Spans

    def count(self, disposition: Disposition) -> int:
        """Return how many readings have this disposition."""
        return int(np.count_nonzero(self.judgement.disposition == disposition))


class PartitionMemory:
    """Judges the readings of one partition; a cache of the database, which may be lost at any time."""

    def __init__(self, deduplicator: Deduplicator, producers: Iterable[ProducerState]) -> None:
        self._deduplicator = deduplicator
        self._sequences = Sequences()
        self._numbers: dict[Producer, int] = {}
        self._names: list[Producer] = []
        self._mapped = SeriesTable()
        self._tenants: dict[str, int] = {}
        self._tenant_of = np.empty(0, np.int64)
        self._number_of: dict[int, int] = {}
        for state in producers:
            self._sequences.restore(self._number(state.producer), state.epoch, state.seen)

    def judge(
        self,
        columns: Columns,
        series_id: Int32,
        series: SeriesTable,
        producers: Sequence[str],
        history: History,
        own: Bools | None = None,
    ) -> Outcome:
        """Decide on readings in log order; changes nothing that a second call would notice.

        Those that are not ``own`` are judged elsewhere: only their sequence numbers count here.
        """
        numbers = self._numbers_of(columns, series, producers)
        nameless = columns.producer == 0
        sequence = np.where(nameless, UNNUMBERED, columns.sequence)
        repeated, spans = self._sequences.judge(numbers, columns.epoch, sequence)
        stamp_ms = int(columns.stamp_ms.max(initial=0))
        if own is not None and not own.all():
            columns, series_id, repeated = columns.take(own), series_id[own], repeated[own]
        rows = Rows(series_id, columns.time_us, columns.value, columns.quality, columns.revision, repeated)
        judgement = self._deduplicator.judge(rows, history)
        rejections = [
            _rejection(columns, row, Reason.EXPIRED, EXPIRED_DETAIL, series, producers)
            for row in np.flatnonzero(judgement.disposition == Disposition.EXPIRED).tolist()
        ]
        rejections += [
            _rejection(
                columns, conflict.row, Reason.CONFLICT, _in_words(columns, conflict), series, producers
            )
            for conflict in judgement.conflicts
        ]
        numbered = [
            Numbered(self._names[number], epoch, start, end, stamp_ms)
            for number, epoch, start, end in zip(*(part.tolist() for part in spans), strict=True)
        ]
        return Outcome(rows, judgement, rejections, numbered, spans)

    def apply(self, outcome: Outcome) -> None:
        """Take in what a committed transaction stored."""
        self._sequences.apply(outcome.spans)
        self._deduplicator.apply(outcome.rows, outcome.judgement)

    def limit(self, max_bytes: int) -> None:
        """Set how many bytes may be spent on remembering identities."""
        self._deduplicator.recent.limit(max_bytes)

    def state(self, producer: Producer) -> ProducerState:
        """Return what was seen of a producer, for storing."""
        number = self._numbers[producer]
        return ProducerState(producer, self._sequences.epoch(number), self._sequences.intervals(number))

    def _number(self, producer: Producer) -> int:
        number = self._numbers.setdefault(producer, len(self._names))
        if number == len(self._names):
            self._names.append(producer)
        return number

    def _numbers_of(self, columns: Columns, series: SeriesTable, producers: Sequence[str]) -> Int32:
        """Return the number of each reading's producer."""
        if series is not self._mapped:
            self._mapped, self._tenants, self._number_of = series, {}, {}
            self._tenant_of = np.empty(0, np.int64)
        if len(series) > len(self._tenant_of):
            new = [
                self._tenants.setdefault(key.tenant, len(self._tenants))
                for key in series.keys[len(self._tenant_of) :]
            ]
            self._tenant_of = np.append(self._tenant_of, np.array(new, np.int64))
        pairs = (self._tenant_of[columns.series] << _PRODUCER_BITS) | columns.producer
        # A batch is a run of one producer: only the first of each run is looked up.
        first = np.flatnonzero(np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)])
        distinct, which = np.unique(pairs[first], return_inverse=True)
        for pair in distinct.tolist():
            if pair not in self._number_of:
                tenant = list(self._tenants)[pair >> _PRODUCER_BITS]
                name = producers[pair & ((1 << _PRODUCER_BITS) - 1)]
                self._number_of[pair] = self._number(Producer(tenant, name))
        numbers = np.array([self._number_of[pair] for pair in distinct.tolist()], np.int32)
        return np.repeat(numbers[which], np.diff(np.append(first, len(pairs))))


EXPIRED_DETAIL = "older than the readings that are kept: it cannot be told from a repeat"


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
