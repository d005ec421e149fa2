"""Which sequence numbers arrived: noted with every flush, summed up in table ``producers`` now and then.

One row a flush costs far less than one for each producer of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import orjson

from sinks.protocols import Partition
from sinks.timescale.session import Connection
from streams.core.partition import Numbered, PartitionMemory, Producer, ProducerState
from streams.core.sequences import Interval, with_interval

MAX_ROWS = 500
SUM_UP_EVERY_S = 5.0

_PRODUCERS = """
    SELECT tenant, producer, epoch,
           (SELECT array_agg(ARRAY[lower(r), upper(r)] ORDER BY r) FROM unnest(seen) AS r)
    FROM producers WHERE topic = %s AND partition = %s
"""
_SPANS = "SELECT spans FROM producer_journal WHERE topic = %s AND partition = %s ORDER BY next_offset"
_NOTE = "INSERT INTO producer_journal (topic, partition, next_offset, spans) VALUES (%s, %s, %s, %s)"
_SUM_UP = """
    INSERT INTO producers (topic, partition, tenant, producer, epoch, seen, last_seen)
    VALUES (%s, %s, %s, %s, %s, %s, to_timestamp(%s / 1000.0))
    ON CONFLICT (topic, partition, tenant, producer)
    DO UPDATE SET epoch = excluded.epoch, seen = excluded.seen, last_seen = excluded.last_seen
"""
_CLEAR = "DELETE FROM producer_journal WHERE topic = %s AND partition = %s"


class Journal:
    """The journal of one partition, written by its owner alone.

    ``unsummed`` are the producers whose numbers are in the journal only, with the Kafka timestamp of
    their last record in milliseconds. :meth:`committed` takes in what :meth:`note` wrote.
    """

    def __init__(self, partition: Partition, unsummed: dict[Producer, int]) -> None:
        self._name = (partition.topic, partition.number)
        self._unsummed = unsummed
        self._rows = MAX_ROWS if unsummed else 0
        self._summed_at_s = time.monotonic()
        self._summing_up = False

    def note(self, session: Connection, memory: PartitionMemory, end: int, seen: list[Numbered]) -> None:
        """Write what a flush up to offset ``end`` saw; sums up what is before it when that is due.

        ``memory`` is as before the flush.
        """
        self._summing_up = self._is_due()
        if self._summing_up:
            self._sum_up(session, memory)
        if seen:
            session.execute(_NOTE, (*self._name, end, as_json(seen)))

    def committed(self, seen: list[Numbered]) -> None:
        """Remember what is to be summed up later."""
        if self._summing_up:
            self._unsummed, self._rows, self._summed_at_s = {}, 0, time.monotonic()
        if seen:
            self._unsummed |= {numbered.producer: numbered.stamp_ms for numbered in seen}
            self._rows += 1

    def _is_due(self) -> bool:
        late = time.monotonic() - self._summed_at_s > SUM_UP_EVERY_S
        return bool(self._unsummed) and (late or self._rows >= MAX_ROWS)

    def _sum_up(self, session: Connection, memory: PartitionMemory) -> None:
        # All rows go: should somebody have set the stored offset back, some lie beyond it.
        rows = []
        for producer, stamp_ms in self._unsummed.items():
            state = memory.state(producer)
            ranges = ",".join(f"[{start},{end})" for start, end in state.seen)
            rows.append((*self._name, *producer, state.epoch, f"{{{ranges}}}", stamp_ms))
        with session.cursor() as cursor:
            cursor.executemany(_SUM_UP, rows)
        session.execute(_CLEAR, self._name)


def load_journal(session: Connection, partition: Partition) -> Journal:
    """Return a partition's journal as its next owner goes on with it."""
    unsummed = {span.producer: span.stamp_ms for span in _spans(session, partition)}
    return Journal(partition, unsummed)


def load_producers(session: Connection, partition: Partition) -> list[ProducerState]:
    """Return what was seen of each numbering producer of a partition."""
    states: dict[Producer, tuple[int, list[Interval]]] = {
        Producer(tenant, producer): (epoch, [(start, end) for start, end in seen])
        for tenant, producer, epoch, seen in session.execute(_PRODUCERS, (partition.topic, partition.number))
    }
    for span in _spans(session, partition):
        epoch, seen = states.get(span.producer, (span.epoch, []))
        if span.epoch > epoch:
            epoch, seen = span.epoch, []
        if span.epoch == epoch:
            states[span.producer] = epoch, with_interval(seen, span.start, span.end)
    return [ProducerState(producer, epoch, seen) for producer, (epoch, seen) in states.items()]


def _spans(session: Connection, partition: Partition) -> Iterator[Numbered]:
    for (spans,) in session.execute(_SPANS, (partition.topic, partition.number)):
        for tenant, producer, *numbers in spans:
            yield Numbered(Producer(tenant, producer), *numbers)


def as_json(seen: list[Numbered]) -> str:
    """Return what a flush saw as it stands in the journal."""
    return orjson.dumps([[*numbered.producer, *numbered[1:]] for numbered in seen]).decode()
