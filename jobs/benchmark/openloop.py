"""Load on a schedule that nothing holds up, with marked readings in between whose way is timed.

A message that leaves late counts as late: a schedule that waited for a slow system would leave out
just the readings that waited longest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import merge
from itertools import chain, islice
from math import nan
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import NamedTuple, cast

from jobs.benchmark.cpu import own_cpu_s
from jobs.generate import Load, assets, messages
from jobs.producer import Message, ReadingsProducer
from schemas.encode import encode_reading
from streams.errors import UserError

MARKERS = 8
MARKER_EVERY_S = 0.01
REFUSED_EVERY_S = 0.1
MARKER_METRIC = "scheduled"
DELIVER_WITHIN_S = 60.0
BEGIN_AFTER_S = 2.0
"""How long after the sending process is there the first message is due: it has to get ready."""

TICK_S = 0.003
"""Who sleeps, sleeps for so long at least: messages leave late by up to as much, for less CPU."""

SLIP_S = 0.0001
"""How late messages leave is counted in steps of it: a list would grow with the load."""

AHEAD = 64
"""So many messages are encoded in a row, which costs half: what that needs stays in the caches."""


def marker_source(number: int) -> str:
    """Return the name of a marker, as a producer and as a source; each has a partition of its own chance."""
    return f"marker-{number}"


def refused_source(number: int) -> str:
    """Return the name of a source whose readings are refused."""
    return f"refused-{number}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send where: ``rate`` readings a second for ``seconds``, and others that are ``marked``."""

    kafka: str
    topic: str
    rate: float
    seconds: float
    series: int
    batch: int
    marked: bool = True

    @property
    def messages_per_s(self) -> float:
        """Messages a second, those of marked readings included."""
        marked = 1 / MARKER_EVERY_S + 1 / REFUSED_EVERY_S if self.marked else 0.0
        return self.rate / self.batch + marked

    def load(self, start_s: float) -> Load:
        """Return the readings that are not marked; their event times are about when they are due."""
        return Load(
            readings=max(1, round(self.rate * self.seconds)),
            batch=self.batch,
            producers=min(100, self.series),
            series=self.series,
            start_us=round(start_s * 1e6),
            interval_us=max(10, round(1e6 * self.series / self.rate)),
            epoch=1,
        )


class Due(NamedTuple):
    """A message and when it is to be sent, in seconds since 1970."""

    at_s: float
    message: Message


class Followed(NamedTuple):
    """How a schedule was kept: CPU seconds that took, and how late messages left."""

    cpu_s: float
    slip_p99_ms: float


@dataclass(frozen=True, slots=True)
class Sending:
    """A schedule that a process follows; it begins at ``start_s`` since 1970."""

    start_s: float
    _process: SpawnProcess
    _pipe: Connection

    def check(self) -> None:
        """Raise :class:`~streams.errors.UserError` when nobody sends and nothing was told."""
        if not self._process.is_alive() and not self._pipe.poll():
            raise _ended()

    def followed(self, within_s: float) -> Followed:
        """Return how it was kept, once all is delivered; raises UserError where it is not in time."""
        if not self._pipe.poll(within_s):
            raise UserError(
                f"not all was sent {within_s:.0f} s after it was due", hint="Ask for a lower rate."
            )
        return cast(Followed, _received(self._pipe))


def schedule(plan: Plan, start_s: float) -> Iterator[Due]:
    """Yield all messages in order of time, marked readings among the others."""
    streams = [_unmarked(plan, start_s)]
    if plan.marked:
        streams.append(_every(MARKER_EVERY_S, marker, plan.seconds, start_s))
        streams.append(_every(REFUSED_EVERY_S, refused, plan.seconds, start_s))
    return merge(*streams, key=lambda due: due.at_s)


def _unmarked(plan: Plan, start_s: float) -> Iterator[Due]:
    sent = 0
    for message in messages(plan.load(start_s)):
        yield Due(start_s + sent / plan.rate, message)
        sent += message.readings


def _every(
    interval_s: float, make: Callable[[int, float], Message], seconds: float, start_s: float
) -> Iterator[Due]:
    for number in range(round(seconds / interval_s)):
        at_s = start_s + number * interval_s
        yield Due(at_s, make(number % MARKERS, at_s))


def introduction(plan: Plan, at_s: float) -> Iterator[Message]:
    """Yield a reading of each series and of each marker, so that none is new when the schedule begins."""
    yield from (marker(number, at_s) for number in range(MARKERS))
    load = plan.load(at_s)
    width = len(assets(load)[0].metrics)
    yield from messages(replace(load, readings=plan.series, batch=width, interval_us=1, epoch=0))


def marker(number: int, at_s: float) -> Message:
    """Return the reading of a marker; its event time is the moment at which it is due."""
    return _marked(marker_source(number), at_s, 0.0)


def refused(number: int, at_s: float) -> Message:
    """Return a reading that becomes a dead letter; its event time is the moment at which it is due."""
    return _marked(refused_source(number), at_s, nan)


def _marked(name: str, at_s: float, value: float) -> Message:
    time_us = round(at_s * 1e6)
    encoded = encode_reading(source=name, metric=MARKER_METRIC, time_us=time_us, value=value, producer=name)
    return Message(name.encode(), encoded, 1)


@contextmanager
def sending(plan: Plan) -> Iterator[Sending]:
    """Follow a plan in a process of its own, which shares no interpreter with whoever measures.

    It begins when that process is ready, and is broken off where the block ends early.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_follow_when_told, args=(plan, theirs))
    process.start()
    theirs.close()
    try:
        _received(ours)
        start_s = time.time() + BEGIN_AFTER_S
        ours.send(start_s)
        yield Sending(start_s, process, ours)
    finally:
        process.terminate()
        process.join()


def _follow_when_told(plan: Plan, pipe: Connection) -> None:
    ReadingsProducer(plan.kafka, plan.topic).require_topic()
    pipe.send("ready")
    pipe.send(follow(plan, pipe.recv()))


def _received(pipe: Connection) -> object:
    try:
        return pipe.recv()
    except EOFError:
        raise _ended() from None


def _ended() -> UserError:
    return UserError("the process that sends has ended", hint="What it said is above.")


def follow(plan: Plan, start_s: float) -> Followed:
    """Send everything when it is due; what is overdue is sent at once. Blocks until all is delivered."""
    producer = ReadingsProducer(plan.kafka, plan.topic, max_messages=100_000)
    due = _encoded_ahead(schedule(plan, start_s))
    first = next(due)  # encodes the first of all: that is before the time and the CPU that count
    cpu_s, slips = own_cpu_s(), Counter[int]()
    for at_s, message in chain([first], due):
        if (early_s := at_s - time.time()) > 0:
            time.sleep(max(early_s, TICK_S))
        slips[int((time.time() - at_s) / SLIP_S)] += 1
        producer.send(message)
    producer.finish(DELIVER_WITHIN_S)
    slip_ms = 1000 * SLIP_S * _percentile(slips, 0.99)
    return Followed(own_cpu_s() - cpu_s, round(slip_ms, 3))


def _percentile(counts: Counter[int], share: float) -> int:
    """Return the lowest value that ``share`` of all do not exceed."""
    left = share * counts.total()
    for value in sorted(counts):
        left -= counts[value]
        if left <= 0:
            break
    return value


def _encoded_ahead(due: Iterator[Due]) -> Iterator[Due]:
    while some := list(islice(due, AHEAD)):
        yield from some
