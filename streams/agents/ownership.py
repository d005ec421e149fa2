"""Which partitions this worker holds, under which epoch, and what it may read next.

Answers the transport (:class:`~streams.transport.owner.PartitionOwner`) from the sink's claims.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from faust.types import TP

from sinks.protocols import LOOK_BACK, Partition, Progress, SinkUnavailable
from streams.agents import halts
from streams.agents.caution import Caution, CautionPolicy, caution_about, poison_of
from streams.agents.halts import Halt
from streams.agents.patience import Patience
from streams.agents.sink_thread import SinkThread
from streams.errors import ServiceUnavailable
from streams.transport.chunk import Chunk
from streams.transport.owner import LogBounds

log = logging.getLogger(__name__)


def partition_of(tp: TP) -> Partition:
    """Return the sink's name of a partition."""
    return Partition(tp.topic, tp.partition)


def tp_of(partition: Partition) -> TP:
    """Return Faust's name of a partition."""
    return TP(partition.topic, partition.number)


class Verdict(Enum):
    """What becomes of a chunk that arrives."""

    ACCEPTED = "it continues what is held"
    STALE = "it was fetched before a seek, or for an earlier claim"
    GAP = "chunks before it are missing: seek back"
    HALTED = "the log no longer holds what comes next"
    REWOUND = "the log ended before what comes next"


class TopicIds(Protocol):
    """Knows which topic a name stands for now."""

    async def __call__(self, topic: str) -> str | None:
        """Return Kafka's id of a topic; None where there is none, or the broker knows no ids.

        Raises :class:`~streams.errors.ServiceUnavailable`.
        """


@dataclass(slots=True)
class Held:
    """One partition in this worker's hands.

    ``expected`` is the offset at which the next chunk must begin, ``stored`` the next offset after
    what the sink holds. ``seeking`` is set from the moment a gap was seen until it is closed,
    ``attempting`` while a record is worked on alone.
    """

    epoch: int
    expected: int
    stored: int
    topic_id: str | None = None
    caution: Caution | None = None
    seeking: bool = False
    attempting: bool = False


class Ownership:
    """Claims partitions at the sink, and knows which chunk may come next."""

    def __init__(
        self,
        owner_id: str,
        sink: SinkThread,
        topic_ids: TopicIds,
        caution: CautionPolicy,
        on_released: Callable[[TP], None],
        on_halted: Callable[[TP], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self.owner_id = owner_id
        self.held: dict[TP, Held] = {}
        self.halted: dict[TP, Halt] = {}
        self._sink = sink
        self._topic_ids = topic_ids
        self._caution = caution
        self._on_released = on_released
        self._on_halted = on_halted
        self._on_fatal = on_fatal

    def fatal(self, problem: BaseException) -> None:
        """End the process: going on would not be safe."""
        self._on_fatal(problem)

    def stored(self) -> Mapping[TP, int]:
        """Return the next offset after what is stored, for each partition held."""
        return {tp: held.stored for tp, held in self.held.items()}

    def retain(self, tps: Set[TP]) -> None:
        """Give up every partition that is not among ``tps``."""
        for tp in self.held.keys() - tps:
            self.release(tp)
        for tp in self.halted.keys() - tps:
            del self.halted[tp]

    def release(self, tp: TP) -> None:
        """Forget ``tp`` and whatever of it is not stored yet: its next owner reads it again."""
        if self.held.pop(tp, None) is not None:
            self._sink.release(partition_of(tp))
            self._on_released(tp)

    def halt(self, tp: TP, halt: Halt) -> None:
        """Stop reading ``tp`` until somebody decides; other partitions go on."""
        self.release(tp)
        self.halted[tp] = halt
        self._on_halted(tp)
        log.error("Partition %s/%d is halted: %s", tp.topic, tp.partition, halt.reason)

    async def take_over(self, logs: Mapping[TP, LogBounds]) -> Mapping[TP, int]:
        """Claim these partitions and return where to read each from."""
        for tp in logs:
            self.release(tp)
            self.halted.pop(tp, None)
        ids = {topic: await self._topic_id(topic) for topic in {tp.topic for tp in logs}}
        claims = {tp: await self._claim(tp, bounds, ids[tp.topic]) for tp, bounds in logs.items()}
        for tp, progress in claims.items():
            if tp in self.held and self.held[tp].epoch > progress.epoch:
                continue  # claimed once more while others of these were waited for
            halt = _unreadable(tp, progress, logs[tp], ids[tp.topic]) or self._not_the_records(tp, progress)
            if halt is not None:
                self.halt(tp, halt)
                continue
            self.held[tp] = Held(
                progress.epoch,
                progress.next_offset,
                progress.next_offset,
                progress.topic_id,
                caution_about(progress, logs[tp].end, self._caution),
            )
            log.info("Holding %s/%d from offset %d, epoch %d", *tp, progress.next_offset, progress.epoch)
            if self.held[tp].caution is not None:
                log.warning("%s/%d goes on with caution: its owners died", *tp)
        return {tp: self.held[tp].stored for tp in claims if tp in self.held}

    async def _topic_id(self, topic: str) -> str | None:
        patience = Patience()
        while True:
            try:
                return await self._topic_ids(topic)
            except ServiceUnavailable as problem:
                log.warning("Cannot tell yet which topic %s is: %s", topic, problem)
                await patience.wait()

    async def _claim(self, tp: TP, bounds: LogBounds, topic_id: str | None) -> Progress:
        patience = Patience()
        while True:
            try:
                return await self._sink.claim(
                    partition_of(tp), self.owner_id, bounds.start, bounds.end, topic_id
                )
            except SinkUnavailable as problem:
                log.warning("Cannot claim %s/%d yet: %s", tp.topic, tp.partition, problem)
                await patience.wait()

    def _not_the_records(self, tp: TP, progress: Progress) -> Halt | None:
        if poison_of(progress, self._caution) is None or progress.suspicion.quarantined < LOOK_BACK:
            return None
        return halts.poisoned(tp, progress.epoch, progress.next_offset, LOOK_BACK)

    async def rewound(self, tp: TP) -> None:
        """Halt ``tp``, whose log ended before what was read of it."""
        held = self.held[tp]
        topic_id = await self._topic_id(tp.topic)
        if self.held.get(tp) is held:
            halt = of_another_topic(tp, held, topic_id)
            self.halt(tp, halt or halts.truncated(tp, held.epoch, held.expected))

    def accept(self, chunk: Chunk) -> Verdict:
        """Decide what to do with ``chunk``, and expect the next one after it if it is accepted."""
        held = self.held.get(chunk.tp)
        if held is None:
            return Verdict.STALE
        if chunk.base < held.expected:
            return Verdict.STALE
        if chunk.base > held.expected:
            if held.seeking:
                return Verdict.STALE
            held.seeking = True
            return Verdict.GAP
        if chunk.rewound:
            return Verdict.REWOUND
        if chunk.lost_before is not None:
            self.halt(chunk.tp, halts.deleted(chunk.tp, held.epoch, held.expected, chunk.lost_before))
            return Verdict.HALTED
        held.seeking = False
        held.expected = chunk.next
        return Verdict.ACCEPTED


def _unreadable(tp: TP, progress: Progress, bounds: LogBounds, topic_id: str | None) -> Halt | None:
    if progress.halted:
        return Halt(None, progress.halted, None)
    epoch, next_offset = progress.epoch, progress.next_offset
    if topic_id and progress.topic_id and progress.topic_id != topic_id:
        return halts.recreated(tp, epoch, next_offset, progress.topic_id, topic_id)
    if next_offset < bounds.start:
        return halts.deleted(tp, epoch, next_offset, bounds.start)
    if next_offset > bounds.end:
        return halts.truncated(tp, epoch, next_offset, bounds.end)
    return None


def of_another_topic(tp: TP, held: Held, topic_id: str | None) -> Halt | None:
    """Return the halt of a held partition whose topic has another id now; None where that is not so."""
    if topic_id and held.topic_id and held.topic_id != topic_id:
        return halts.recreated(tp, held.epoch, held.stored, held.topic_id, topic_id)
    return None
