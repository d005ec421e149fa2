"""Puts single readings together to batch messages, each numbered without a gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from jobs.formats.base import Attributes, Reading
from jobs.producer import Message
from schemas.encode import SeriesRef, encode_batch

MAX_BATCH_BYTES = 500_000
MAX_OPEN = 64
_READING_BYTES = 32


class Origin(NamedTuple):
    """Who numbers the readings of a batch. ``numbered`` is False where the producer gives no number."""

    tenant: str
    producer: str
    epoch: int
    numbered: bool


class OpenBatch:
    """Readings of one origin that are not sent yet."""

    def __init__(self, first_sequence: int | None) -> None:
        self.first_sequence = first_sequence
        self.size_bytes = 0
        self._series: dict[tuple[str, str, Attributes], int] = {}
        self._columns: list[tuple[int, int, float, int, int]] = []

    def __len__(self) -> int:
        return len(self._columns)

    def add(self, reading: Reading) -> None:
        """Append one reading."""
        key = (reading.source, reading.metric, reading.attributes)
        index = self._series.get(key)
        if index is None:
            index = self._series[key] = len(self._series)
            names = (reading.source, reading.metric, *(text for pair in reading.attributes for text in pair))
            self.size_bytes += 4 * sum(map(len, names)) + 2 * len(names)
        self.size_bytes += _READING_BYTES
        self._columns.append((index, reading.time_us, reading.value, reading.quality, reading.revision))

    def encode(self, origin: Origin, first_sequence: int | None) -> Message:
        """Return the batch as a message."""
        index, time_us, value, quality, revision = zip(*self._columns, strict=True)
        payload = encode_batch(
            producer=origin.producer,
            series=[SeriesRef(source, metric, dict(pairs)) for source, metric, pairs in self._series],
            series_index=index,
            time_us=time_us,
            value=value,
            tenant=origin.tenant,
            epoch=origin.epoch,
            first_sequence=first_sequence,
            quality=quality if any(quality) else None,
            revision=revision if any(revision) else None,
        )
        return Message(origin.producer.encode(), payload, len(self))


class Batcher:
    """Collects readings and yields a message whenever one is full.

    Readings that name no producer are numbered here, under ``producer`` and ``epoch``. Those that
    do keep their own numbers; a gap in these begins another batch.
    """

    def __init__(self, producer: str, epoch: int, max_readings: int) -> None:
        self._producer = producer
        self._epoch = epoch
        self._max_readings = max_readings
        self._next_sequence = 0
        self._open: dict[Origin, OpenBatch] = {}

    def add(self, reading: Reading) -> Iterator[Message]:
        """Take one reading; yield what is to be sent before or with it."""
        origin = self._origin(reading)
        batch = self._open.get(origin)
        if batch is not None and not self._follows(batch, reading):
            yield self._close(origin)
            batch = None
        if batch is None:
            if len(self._open) >= MAX_OPEN:
                yield from self.flush()
            batch = self._open[origin] = OpenBatch(reading.sequence)
        batch.add(reading)
        if len(batch) >= self._max_readings or batch.size_bytes >= MAX_BATCH_BYTES:
            yield self._close(origin)

    def flush(self) -> Iterator[Message]:
        """Yield all that is open."""
        for origin in list(self._open):
            yield self._close(origin)

    def _origin(self, reading: Reading) -> Origin:
        if reading.producer is None:
            return Origin(reading.tenant, self._producer, self._epoch, numbered=True)
        return Origin(reading.tenant, reading.producer, reading.epoch, numbered=reading.sequence is not None)

    @staticmethod
    def _follows(batch: OpenBatch, reading: Reading) -> bool:
        return batch.first_sequence is None or reading.sequence == batch.first_sequence + len(batch)

    def _close(self, origin: Origin) -> Message:
        batch = self._open.pop(origin)
        first_sequence = batch.first_sequence
        if first_sequence is None and origin.numbered:
            first_sequence = self._next_sequence
            self._next_sequence += len(batch)
        return batch.encode(origin, first_sequence)
