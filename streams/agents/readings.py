"""The ingest agent: chunks in, flushes out. Binds the pure stages to Kafka and the sink."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Iterable
from typing import Protocol

from faust.types import TP

from sinks.protocols import Part, Written
from streams.agents.careful import Careful
from streams.agents.caution import CautionPolicy
from streams.agents.flush import Flusher, FlushPolicy
from streams.agents.guard import Guard
from streams.agents.ownership import Ownership, TopicIds, Verdict
from streams.agents.sink_thread import SinkThread
from streams.core.batch import Messages
from streams.core.pipeline import Staged
from streams.errors import ServiceUnavailable
from streams.transport.chunk import Chunk

log = logging.getLogger(__name__)

RETRY_EVERY_S = 1.0

FLUSHES_IN_HAND = 4
"""A worker has one in storing, one collected and a chunk in the stages: fewer than so many."""


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

    def __call__(self, messages: Messages) -> Staged:
        """Turn a chunk's records into readings and refusals."""


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

    async def run(self, chunks: AsyncIterable[Chunk]) -> None:
        """Handle chunks for ever. An unexpected error ends the process: Faust would hide it."""
        try:
            async for chunk in chunks:
                if not self._stopping:
                    await self.handle(chunk)
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

    async def handle(self, chunk: Chunk) -> None:
        """Bring one chunk into the next flush, or say why not."""
        tp = chunk.tp
        verdict = self.ownership.accept(chunk)
        if verdict is Verdict.GAP and self.seeker is not None:
            await self.seeker.relocate(tp, self.ownership.held[tp].expected)
        if verdict is Verdict.REWOUND:
            await self.ownership.rewound(tp)
        if verdict is not Verdict.ACCEPTED:
            log.debug("Chunk %s[%d,%d) dropped: %s", tp, chunk.base, chunk.next, verdict.value)
            return
        held = self.ownership.held[tp]
        if held.caution is not None:
            await self._careful.handle(chunk, held)
        else:
            await self.flusher.add(chunk, held, await self._through_stages(tp, chunk.messages))

    async def _through_stages(self, tp: TP, messages: Messages) -> Staged:
        """Run the stages, and again while something they must ask is away: guessing would lose readings."""
        while True:
            try:
                return self._stages(messages)
            except ServiceUnavailable as problem:
                log.warning("Readings wait: %s", problem)
                await self._delayed(tp)
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
