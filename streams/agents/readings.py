"""The ingest agent: chunks in, flushes out. Binds the pure stages to Kafka and the sink."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Iterable, Iterator, Sequence
from typing import Protocol

from faust.types import TP

from sinks.protocols import Part, Written
from streams.agents.careful import Careful
from streams.agents.caution import CautionPolicy
from streams.agents.flush import Flusher, FlushPolicy
from streams.agents.guard import Guard
from streams.agents.ownership import Held, Ownership, TopicIds, Verdict
from streams.agents.sink_thread import SinkThread
from streams.core.batch import Messages
from streams.core.pipeline import Staged
from streams.errors import ServiceUnavailable
from streams.transport.chunk import Chunk

log = logging.getLogger(__name__)

RETRY_EVERY_S = 1.0

TOGETHER_BYTES = 1_048_576
"""Chunks go through the stages together up to about so many bytes: what they cost beside their readings
is paid once, and other tasks need not wait long."""

FLUSHES_IN_HAND = 6
"""A worker has one in storing, one collected, each twice as large at most, and a chunk in the stages: fewer
than so many."""


class Seeker(Protocol):
    """What the agent asks of the consumer."""

    async def relocate(self, tp: TP, offset: int) -> None:
        """Read ``tp`` again from ``offset``."""

    async def reclaim(self, tp: TP) -> None:
        """Claim ``tp`` again, if it is still assigned."""

    def hold_back(self, tp: TP) -> None:
        """Fetch nothing of ``tp`` until it is claimed again."""


class Observer(Protocol):
    """Who is told what happened, to count it."""

    def stored(self, parts: Iterable[Part], written: Written) -> None:
        """One transaction was committed."""


class Stages(Protocol):
    """The pure stages in their order: decode, then validate."""

    def __call__(self, chunks: Sequence[Messages]) -> list[Staged]:
        """Turn the records of each of some chunks into readings and refusals."""


class ReadingsAgent:
    """Runs every chunk through the stages and collects the result for the next flush."""

    def __init__(
        self,
        owner_id: str,
        stages: Stages,
        sink: SinkThread,
        policy: FlushPolicy,
        observer: Observer,
        topic_ids: TopicIds,
        poison_after: int,
        reclaim_after_s: float,
        fatal: asyncio.Future[None],
    ) -> None:
        self._stages = stages
        self._fatal = fatal
        self._reclaim_after_s = reclaim_after_s
        self._reclaims: dict[TP, asyncio.Task[None]] = {}
        self._stopping = False
        caution = CautionPolicy(poison_after, FLUSHES_IN_HAND * policy.rows)
        self.ownership = Ownership(
            owner_id, sink, topic_ids, caution, self._released, self._halted, self._end
        )
        self.flusher = Flusher(policy, sink, self.ownership, observer.stored, self._lost, self._delayed)
        self._careful = Careful(self._through_stages, self.flusher, self.ownership, sink)
        self._guard = Guard(self.ownership, sink, topic_ids, self._resumed, self._lost)
        self.seeker: Seeker | None = None

    async def run(self, fetches: AsyncIterable[Sequence[Chunk]]) -> None:
        """Handle what is fetched for ever. An unexpected error ends the process: Faust would hide it."""
        try:
            async for chunks in fetches:
                if not self._stopping:
                    await self.handle(*chunks)
                await asyncio.sleep(0)  # a full queue must not starve the flusher
        except asyncio.CancelledError:
            raise
        except Exception as problem:
            self._end(problem)

    async def flush_forever(self) -> None:
        """Store what is collected, until cancelled. An unexpected error ends the process."""
        try:
            await self.flusher.run()
        except asyncio.CancelledError:
            raise
        except Exception as problem:
            self._end(problem)

    async def guard_forever(self) -> None:
        """Notice topics that are recreated and halts that are resolved, until cancelled."""
        try:
            await self._guard.run()
        except asyncio.CancelledError:
            raise
        except Exception as problem:
            self._end(problem)

    async def stop(self) -> None:
        """Take no more chunks, and return when everything taken is stored."""
        self._stopping = True
        self._careful.stop()
        for task in self._reclaims.values():
            task.cancel()
        await self.flusher.drain()

    async def handle(self, *chunks: Chunk) -> None:
        """Bring chunks of different partitions into the next flush, or say why not."""
        accepted = [(chunk, held) for chunk in chunks if (held := await self._accepted(chunk)) is not None]
        ordinary = [(chunk, held) for chunk, held in accepted if held.caution is None]
        for some in together(ordinary):
            staged = await self._through_stages([chunk for chunk, _ in some])
            for (chunk, held), each in zip(some, staged, strict=True):
                await self.flusher.add(chunk, held, each, more=chunk is not ordinary[-1][0])
        for chunk, held in accepted:
            if held.caution is not None:
                await self._careful.handle(chunk, held)

    async def _accepted(self, chunk: Chunk) -> Held | None:
        tp = chunk.tp
        verdict = self.ownership.accept(chunk)
        if verdict is Verdict.ACCEPTED:
            return self.ownership.held[tp]
        if verdict is Verdict.GAP and self.seeker is not None:
            await self.seeker.relocate(tp, self.ownership.held[tp].expected)
        if verdict is Verdict.REWOUND:
            await self.ownership.rewound(tp)
        log.debug("Chunk %s[%d,%d) dropped: %s", tp, chunk.base, chunk.next, verdict.value)
        return None

    async def _through_stages(self, chunks: Sequence[Chunk]) -> list[Staged]:
        """Run the stages, and again while something they must ask is away: guessing would lose readings."""
        while True:
            try:
                return self._stages([chunk.messages for chunk in chunks])
            except ServiceUnavailable as problem:
                log.warning("Readings wait: %s", problem)
                for chunk in chunks:
                    await self._delayed(chunk.tp)
                await asyncio.sleep(RETRY_EVERY_S)

    async def _delayed(self, tp: TP) -> None:
        await self._careful.inconclusive(tp)

    def _released(self, tp: TP) -> None:
        self.flusher.forget(tp)

    def _halted(self, tp: TP) -> None:
        if self.seeker is not None:
            self.seeker.hold_back(tp)

    def _lost(self, tp: TP) -> None:
        """Claim ``tp`` again later if it is still assigned then: a stale member may have fenced us."""
        self._reclaim_after(self._reclaim_after_s, tp)

    def _resumed(self, tp: TP) -> None:
        self._reclaim_after(0.0, tp)

    def _reclaim_after(self, seconds: float, tp: TP) -> None:
        if tp not in self._reclaims and not self._stopping:
            self._reclaims[tp] = asyncio.create_task(self._reclaim(seconds, tp))

    async def _reclaim(self, after_s: float, tp: TP) -> None:
        await asyncio.sleep(after_s)
        del self._reclaims[tp]
        if tp in self.ownership.held or tp in self.ownership.halted or self.seeker is None:
            return
        try:
            await self.seeker.reclaim(tp)
        except Exception as problem:
            self._end(problem)

    def _end(self, problem: BaseException) -> None:
        if not self._fatal.done():
            self._fatal.set_exception(problem)


def together(chunks: Iterable[tuple[Chunk, Held]]) -> Iterator[list[tuple[Chunk, Held]]]:
    """Group chunks, in their order, into runs of about ``TOGETHER_BYTES``."""
    group: list[tuple[Chunk, Held]] = []
    room = TOGETHER_BYTES
    for chunk, held in chunks:
        group.append((chunk, held))
        room -= sum(len(value or b"") for value in chunk.messages.values)
        if room <= 0:
            yield group
            group, room = [], TOGETHER_BYTES
    if group:
        yield group
