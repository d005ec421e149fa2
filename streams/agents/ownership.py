"""Which partitions this worker holds, under which epoch, and what it may read next.

Answers the transport (:class:`~streams.transport.owner.PartitionOwner`) from the sink's claims.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from enum import Enum

from faust.types import TP

from sinks.protocols import Partition, Progress, SinkUnavailable
from streams.agents.sink_thread import SinkThread
from streams.transport.chunk import Chunk
from streams.transport.owner import LogBounds

log = logging.getLogger(__name__)

RETRY_EVERY_S = 0.5


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


@dataclass(slots=True)
class Held:
    """One partition in this worker's hands.

    ``expected`` is the offset at which the next chunk must begin, ``stored`` the next offset after
    what the sink holds. ``seeking`` is set from the moment a gap was seen until it is closed.
    """

    epoch: int
    expected: int
    stored: int
    seeking: bool = False


class Ownership:
    """Claims partitions at the sink, and knows which chunk may come next."""

    def __init__(
        self,
        owner_id: str,
        sink: SinkThread,
        on_released: Callable[[TP], None],
        on_fatal: Callable[[BaseException], None],
    ) -> None:
        self.owner_id = owner_id
        self.held: dict[TP, Held] = {}
        self.halted: dict[TP, str] = {}
        self._sink = sink
        self._on_released = on_released
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

    def halt(self, tp: TP, reason: str) -> None:
        """Stop reading ``tp`` until somebody resolves ``reason``; other partitions go on."""
        self.release(tp)
        self.halted[tp] = reason
        log.error("Partition %s/%d is halted: %s", tp.topic, tp.partition, reason)

    async def take_over(self, logs: Mapping[TP, LogBounds]) -> Mapping[TP, int]:
        """Claim these partitions and return where to read each from."""
        for tp in logs:
            self.release(tp)
            self.halted.pop(tp, None)
        claims = {tp: await self._claim(tp, bounds.start) for tp, bounds in logs.items()}
        for tp, progress in claims.items():
            reason = _outside(progress.next_offset, logs[tp])
            if reason is not None:
                self.halt(tp, reason)
                continue
            self.held[tp] = Held(progress.epoch, progress.next_offset, progress.next_offset)
            log.info("Holding %s/%d from offset %d, epoch %d", *tp, progress.next_offset, progress.epoch)
        return {tp: self.held[tp].stored for tp in claims if tp in self.held}

    async def _claim(self, tp: TP, start: int) -> Progress:
        while True:
            try:
                return await self._sink.claim(partition_of(tp), self.owner_id, start)
            except SinkUnavailable as problem:
                log.warning("Cannot claim %s/%d yet: %s", tp.topic, tp.partition, problem)
                await asyncio.sleep(RETRY_EVERY_S)

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
        if chunk.lost_before is not None:
            self.halt(chunk.tp, _deleted(held.expected, chunk.lost_before))
            return Verdict.HALTED
        held.seeking = False
        held.expected = chunk.next
        return Verdict.ACCEPTED


def _outside(next_offset: int, bounds: LogBounds) -> str | None:
    if next_offset < bounds.start:
        return _deleted(next_offset, bounds.start)
    if next_offset > bounds.end:
        return (
            f"the database has stored up to offset {next_offset}, but the log ends at {bounds.end}: "
            "the topic was truncated or recreated. See 'A partition is halted' in docs/runbook.md"
        )
    return None


def _deleted(next_offset: int, log_start: int) -> str:
    return (
        f"offsets {next_offset} to {log_start - 1} were deleted from the log before they were stored. "
        "See 'A partition is halted' in docs/runbook.md"
    )
