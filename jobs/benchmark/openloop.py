"""Load on a schedule that nothing holds up, with marked readings in between whose way is timed.

A message that leaves late counts as late: a schedule that waited for a slow system would leave out
just the readings that waited longest.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jobs.benchmark.cpu import own_cpu_s
from jobs.generate import Load, messages
from jobs.producer import Message, ReadingsProducer
from schemas.encode import encode_reading

MARKERS = 8
MARKER_EVERY_S = 0.01
MARKER_METRIC = "scheduled"
DELIVER_WITHIN_S = 60.0


def marker_source(number: int) -> str:
    """Return the name of a marker, as a producer and as a source; each has a partition of its own chance."""
    return f"marker-{number}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send where: ``rate`` readings a second for ``seconds``, the first at ``start_s`` since 1970."""

    kafka: str
    topic: str
    rate: float
    seconds: float
    start_s: float
    series: int
    batch: int

    def load(self) -> Load:
        """Return the readings without the markers; their event times are when they are due."""
        return Load(
            readings=max(1, round(self.rate * self.seconds)),
            batch=self.batch,
            producers=min(100, self.series),
            series=self.series,
            start_us=round(self.start_s * 1e6),
            interval_us=max(10, round(1e6 * self.series / self.rate)),
            epoch=1,
        )


class Due(NamedTuple):
    """A message and when it is to be sent, in seconds since 1970."""

    at_s: float
    message: Message


class Followed(NamedTuple):
    """How a schedule was kept: readings sent, CPU seconds used, and how late messages left."""

    readings: int
    cpu_s: float
    slip_p99_ms: float


def schedule(plan: Plan) -> Iterator[Due]:
    """Yield all messages in order of time, markers among the others.

    The event time of a marker is the time at which it is due.
    """
    end_s, next_marker, sent = plan.start_s + plan.seconds, 0, 0
    for message in messages(plan.load()):
        at_s = plan.start_s + sent / plan.rate
        while (marker_s := plan.start_s + next_marker * MARKER_EVERY_S) <= min(at_s, end_s):
            yield Due(marker_s, marker(next_marker % MARKERS, marker_s))
            next_marker += 1
        yield Due(at_s, message)
        sent += message.readings


def marker(number: int, at_s: float) -> Message:
    """Return the reading of a marker for one moment."""
    name = marker_source(number)
    value = encode_reading(
        source=name, metric=MARKER_METRIC, time_us=round(at_s * 1e6), value=0.0, producer=name
    )
    return Message(name.encode(), value, 1)


def follow(plan: Plan) -> Followed:
    """Send everything when it is due; what is overdue is sent at once. Blocks until all is delivered."""
    cpu_s = own_cpu_s()
    producer = ReadingsProducer(plan.kafka, plan.topic, max_messages=100_000)
    slips_s = []
    for at_s, message in schedule(plan):
        while (early_s := at_s - time.time()) > 0:
            producer.poll(early_s)
        slips_s.append(-early_s)
        producer.send(message)
    producer.finish(DELIVER_WITHIN_S)
    slip_ms = float(np.percentile(slips_s, 99)) * 1000
    return Followed(producer.deliveries.delivered, own_cpu_s() - cpu_s, round(slip_ms, 3))
