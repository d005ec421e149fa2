"""The host collector: this machine's telemetry to Kafka, one batch a second."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from jobs.host.samples import Sample, samples
from jobs.host.snapshot import Snapshot
from jobs.outbox import Outbox
from jobs.pace import next_due
from jobs.producer import Message, ReadingsProducer
from schemas.encode import BatchEncoder, SeriesRef

log = logging.getLogger(__name__)

IN_FLIGHT_MESSAGES = 20
"""Messages handed to the Kafka client; what is beyond waits in the outbox, where it can be dropped."""

FLUSH_S = 5.0
_POLL_S = 0.1
_LATE_BATCHES = 3
"""Kafka counts as away once so many batches wait."""


@dataclass(slots=True)
class Host:
    """Turns samples of one machine into numbered batches.

    ``name`` is the machine's source; a part of it is ``name/part``. ``site`` is an attribute of
    all series where it is given, ``system`` is the machine.

    >>> host = Host("web-1", epoch=7)
    >>> host.batch([Sample("cpu=0", "system.cpu.utilization", "1", 0.5)], time_us=0).key
    b'host-web-1'
    >>> host.sequence
    1
    """

    name: str
    epoch: int
    tenant: str = "default"
    site: str = ""
    sequence: int = 0
    _series: tuple[tuple[str, str, str], ...] = ()
    _encoder: BatchEncoder | None = field(default=None, repr=False)

    @property
    def producer(self) -> str:
        """Producer id of the collector on this machine."""
        return f"host-{self.name}"

    def batch(self, taken: Sequence[Sample], time_us: int) -> Message:
        """Return samples taken at ``time_us`` as one message."""
        payload = self._encoder_for(tuple(sample[:3] for sample in taken)).encode(
            series_index=range(len(taken)),
            time_us=[time_us] * len(taken),
            value=[sample.value for sample in taken],
            epoch=self.epoch,
            first_sequence=self.sequence,
        )
        self.sequence += len(taken)
        return Message(self.producer.encode(), payload, len(taken))

    def _encoder_for(self, series: tuple[tuple[str, str, str], ...]) -> BatchEncoder:
        if self._encoder is None or series != self._series:
            self._series = series
            self._encoder = BatchEncoder(
                self.producer,
                [
                    SeriesRef(f"{self.name}/{part}" if part else self.name, metric, self._attributes(unit))
                    for part, metric, unit in series
                ],
                tenant=self.tenant,
            )
        return self._encoder

    def _attributes(self, unit: str) -> dict[str, str]:
        attributes = {"unit": unit, "system": self.name}
        return {**attributes, "site": self.site} if self.site else attributes


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The two clocks that the collector needs: wall time in microseconds, and seconds that only grow."""

    now_us: Callable[[], int]
    monotonic_s: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Collected:
    """What a run of the collector did, in readings, and how many samples it missed the time for."""

    batches: int
    readings: int
    delivered: int
    undelivered: int
    dropped: int
    missed: int


class Collector:
    """Samples on a schedule that does not drift and keeps what Kafka does not take yet."""

    def __init__(
        self,
        host: Host,
        producer: ReadingsProducer,
        take: Callable[[], Snapshot],
        clock: Clock,
        *,
        interval_s: float,
        max_waiting: int,
        processes: int,
    ) -> None:
        self._host = host
        self._producer = producer
        self._take = take
        self._clock = clock
        self._interval_s = interval_s
        self._processes = processes
        self._outbox = Outbox(producer.offer, max_waiting)
        self._batches = 0
        self._missed = 0
        self._away = False
        self._told_dropped = 0

    def run(self, stop: Callable[[], bool], most: int | None = None) -> Collected:
        """Collect until ``stop()``, or ``most`` batches; then deliver what waits, within FLUSH_S."""
        before = self._take()
        began = due = self._clock.monotonic_s()
        while not stop() and (most is None or self._batches < most):
            following = next_due(began, self._interval_s, max(due, self._clock.monotonic_s()))
            self._missed += round((following - due) / self._interval_s) - 1
            due = following
            if not self._wait_until(due, stop):
                break
            now = self._take()
            taken = samples(before, now, self._processes)
            self._outbox.put(self._host.batch(taken, self._clock.now_us()))
            self._batches += 1
            self._tell(len(taken))
            before = now
        return self._finish()

    def _wait_until(self, due_s: float, stop: Callable[[], bool]) -> bool:
        """Pass messages on until it is time; return False when asked to stop before."""
        while not stop():
            left_s = due_s - self._clock.monotonic_s()
            if left_s <= 0:
                return True
            self._outbox.pump()
            self._producer.poll(min(left_s, _POLL_S))
        return False

    def _tell(self, batch: int) -> None:
        """Log when Kafka goes away or comes back, and when readings had to be dropped."""
        waiting = self._outbox.waiting + self._producer.deliveries.pending
        if not self._away and waiting > _LATE_BATCHES * batch:
            self._away = True
            error = self._producer.deliveries.last_error or "no answer"
            log.warning("Kafka is away (%s); readings are kept until it is back", error)
        elif self._away and waiting <= batch:
            self._away = False
            log.info("Kafka is back; what was kept is delivered")
        lost = self._outbox.dropped + self._producer.deliveries.failed
        # The first loss is told at once and then whenever it has doubled.
        if lost >= max(1, 2 * self._told_dropped):
            self._told_dropped = lost
            log.error("%d readings are lost: the buffer is full or Kafka refuses them", lost)

    def _finish(self) -> Collected:
        deadline_s = self._clock.monotonic_s() + FLUSH_S
        while (
            self._outbox.waiting or self._producer.deliveries.pending
        ) and self._clock.monotonic_s() < deadline_s:
            self._outbox.pump()
            self._producer.poll(_POLL_S)
        deliveries = self._producer.deliveries
        return Collected(
            batches=self._batches,
            readings=self._host.sequence,
            delivered=deliveries.delivered,
            undelivered=self._outbox.waiting + deliveries.pending + deliveries.failed,
            dropped=self._outbox.dropped,
            missed=self._missed,
        )
