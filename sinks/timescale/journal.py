"""What is heard of producers: noted with every flush, summed up in table ``producers`` now and then.

One row a flush costs far less than one for each producer of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import orjson

from sinks.protocols import Partition
from sinks.timescale.session import Connection
from sinks.timescale.times import timestamp
from streams.core.partition import PartitionMemory
from streams.core.producers import Producer, ProducerState, Report, Span
from streams.core.sequences import NO_EPOCH, Interval, with_interval
from streams.core.watermark import Heard

MAX_ROWS = 500
SUM_UP_EVERY_S = 5.0

_PRODUCERS = """
    SELECT tenant, producer, (extract(epoch FROM last_seen) * 1000)::bigint,
           (extract(epoch FROM high) * 1000000)::bigint, era, epoch,
           (SELECT array_agg(ARRAY[lower(r), upper(r)] ORDER BY r) FROM unnest(seen) AS r)
    FROM producers WHERE topic = %s AND partition = %s
"""
_REPORTS = "SELECT reports FROM producer_journal WHERE topic = %s AND partition = %s ORDER BY next_offset"
# There is such a row already where the flush will be fenced, or an offset was set back.
_NOTE = """
    INSERT INTO producer_journal (topic, partition, next_offset, reports) VALUES (%s, %s, %s, %s)
    ON CONFLICT (topic, partition, next_offset) DO UPDATE SET reports = excluded.reports
"""
_SUM_UP = """
    INSERT INTO producers (topic, partition, tenant, producer, last_seen, high, era, epoch, seen)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (topic, partition, tenant, producer) DO UPDATE
    SET last_seen = excluded.last_seen, high = excluded.high, era = excluded.era,
        epoch = excluded.epoch, seen = excluded.seen
"""
_CLEAR = "DELETE FROM producer_journal WHERE topic = %s AND partition = %s"
# Names may be made up by the message; of those without numbers only the recent ones matter.
_FORGET_OLD = """
    DELETE FROM producers AS p USING progress
    WHERE p.topic = %s AND p.partition = %s AND (progress.topic, progress.partition) = (p.topic, p.partition)
      AND p.epoch IS NULL AND p.last_seen < progress.log_clock - INTERVAL '1 day'
"""


class Journal:
    """The journal of one partition, written by its owner alone.

    ``unsummed`` are the producers of which something is in the journal only. :meth:`committed` takes in
    what :meth:`note` wrote.
    """

    def __init__(self, partition: Partition, unsummed: set[Producer]) -> None:
        self._name = (partition.topic, partition.number)
        self._unsummed = unsummed
        self._rows = MAX_ROWS if unsummed else 0
        self._summed_at_s = time.monotonic()
        self._summing_up = False

    def note(self, session: Connection, memory: PartitionMemory, end: int, reports: Sequence[Report]) -> None:
        """Write what a flush up to offset ``end`` heard; sums up what is before it when that is due.

        ``memory`` has taken the flush in.
        """
        self._summing_up = self._is_due()
        if self._summing_up:
            self._sum_up(session, memory)
        if reports:
            session.execute(_NOTE, (*self._name, end, as_json(reports)))

    def committed(self, reports: Sequence[Report]) -> None:
        """Remember what is to be summed up later."""
        if self._summing_up:
            self._unsummed, self._rows, self._summed_at_s = set(), 0, time.monotonic()
        if reports:
            self._unsummed.update(report.producer for report in reports)
            self._rows += 1

    def _is_due(self) -> bool:
        late = time.monotonic() - self._summed_at_s > SUM_UP_EVERY_S
        return bool(self._unsummed) and (late or self._rows >= MAX_ROWS)

    def _sum_up(self, session: Connection, memory: PartitionMemory) -> None:
        # All rows go: should somebody have set the stored offset back, some lie beyond it.
        rows = [(*self._name, *_row(memory.state(producer))) for producer in self._unsummed]
        with session.cursor() as cursor:
            cursor.executemany(_SUM_UP, rows)
        session.execute(_CLEAR, self._name)


def load_journal(session: Connection, partition: Partition) -> tuple[Journal, list[ProducerState]]:
    """Return a partition's journal as its next owner goes on with it, and what is known of each producer."""
    reports = list(_reports(session, partition))
    journal = Journal(partition, {report.producer for report in reports})
    return journal, _producers(session, partition, reports)


def _producers(session: Connection, partition: Partition, reports: Sequence[Report]) -> list[ProducerState]:
    """Return what is known of each producer, ``reports`` included; some that do not matter are forgotten."""
    name = (partition.topic, partition.number)
    session.execute(_FORGET_OLD, name)
    states: dict[Producer, ProducerState] = {}
    for tenant, producer, last_ms, high_us, era, epoch, seen in session.execute(_PRODUCERS, name):
        intervals: list[Interval] = [(start, end) for start, end in seen or ()]
        named = Producer(tenant, producer)
        states[named] = ProducerState(
            named, Heard(last_ms, high_us, era), NO_EPOCH if epoch is None else epoch, intervals
        )
    for report in reports:
        known = states.get(report.producer)
        epoch, seen = (NO_EPOCH, []) if known is None else (known.epoch, known.seen)
        for span in report.spans:
            if span.epoch > epoch:
                epoch, seen = span.epoch, []
            if span.epoch == epoch:
                seen = with_interval(seen, span.start, span.end)
        states[report.producer] = ProducerState(report.producer, report.heard, epoch, seen)
    return list(states.values())


def _row(state: ProducerState) -> tuple[object, ...]:
    """Return the columns of table ``producers``, but for the partition."""
    heard = state.heard
    ranges = ",".join(f"[{start},{end})" for start, end in state.seen)
    return (
        *state.producer,
        timestamp(1000 * heard.last_ms),
        None if heard.high_us is None else timestamp(heard.high_us),
        heard.era,
        state.epoch if state.seen else None,
        f"{{{ranges}}}",
    )


def _reports(session: Connection, partition: Partition) -> Iterator[Report]:
    for (reports,) in session.execute(_REPORTS, (partition.topic, partition.number)):
        for tenant, producer, last_ms, high_us, era, spans in reports:
            heard = Heard(last_ms, high_us, era)
            yield Report(Producer(tenant, producer), heard, [Span(*span) for span in spans])


def as_json(reports: Sequence[Report]) -> str:
    """Return what a flush heard as it stands in the journal."""
    return orjson.dumps(
        [[*producer, *heard, [[*span] for span in spans]] for producer, heard, spans in reports]
    ).decode()
