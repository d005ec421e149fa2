"""Collects what the chunks brought and stores it, one transaction at a time.

A flush begins when ``flush_rows`` are collected or ``flush_s`` after the last one began. While one
is being stored the next is collected; a full one makes :meth:`Flusher.add` wait, which fills the
bounded queues before it and pauses the consumer: a slow database never fills the memory.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from faust.types import TP

from sinks.protocols import Fenced, Flush, Part, Partition, Progress, SinkUnavailable, Written
from streams.agents.ownership import Held, Ownership, partition_of, tp_of
from streams.agents.patience import Patience
from streams.agents.sink_thread import SinkThread
from streams.core.batch import Columns, Decoded
from streams.core.pipeline import Staged
from streams.core.series import SeriesTable
from streams.transport.chunk import Chunk

log = logging.getLogger(__name__)

BUSY_ROWS_PER_S = 50_000
"""From so many readings a second on, brokers gather for twice as long, for a tenth of a core."""

TICK_S = 1e-6

GATHER_AT_MOST_S = 0.1
"""However long a flush takes, brokers gather records for no longer."""

GATHER_LONGER = 1.25
"""So many times as long as a flush takes do brokers gather for the next: by then it is stored."""


@dataclass(frozen=True, slots=True)
class FlushPolicy:
    """When a flush begins: at ``rows`` readings and dead letters, or ``seconds`` after the last one began.

    While one fetch brings more it waits for that, up to twice as many rows: a flush of equal parts is
    stored fastest.
    """

    rows: int
    seconds: float


def gathering_s(apart_s: float, rows_per_s: float, took_s: float) -> float:
    """Return for how long brokers gather, where flushes begin ``apart_s`` apart and the last took ``took_s``.

    What comes while a flush is being stored has to wait for it. So under load, where that takes
    long, fewer and larger fetches bring readings as soon, for less CPU.

    >>> [gathering_s(0.03, 20_000, 0.01), gathering_s(0.03, 72_000, 0.02), gathering_s(0.03, 200_000, 0.06)]
    [0.03, 0.06, 0.075]
    >>> gathering_s(0.03, 200_000, 60.0)
    0.1
    """
    least_s = 2 * apart_s if rows_per_s >= BUSY_ROWS_PER_S else apart_s
    return max(least_s, min(GATHER_LONGER * took_s, GATHER_AT_MOST_S))


class Flusher:
    """The buffer between the agent and the sink."""

    def __init__(
        self,
        policy: FlushPolicy,
        sink: SinkThread,
        ownership: Ownership,
        on_stored: Callable[[Iterable[Part], Written], None],
        on_lost: Callable[[TP], None],
        on_delayed: Callable[[TP], Awaitable[None]],
    ) -> None:
        self._policy = policy
        self._sink = sink
        self._ownership = ownership
        self._on_stored = on_stored
        self._on_lost = on_lost
        self._on_delayed = on_delayed
        self.rows_stored = 0
        self._parts: dict[Partition, Part] = {}
        self._named = Staged(Decoded(Columns.empty(), []), SeriesTable(), ("",))
        self._rows = 0
        self._began_at = -math.inf
        self._took_s = 0.0
        self._rows_per_s = 0.0
        self._work = asyncio.Event()
        self._full = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()

    async def add(self, chunk: Chunk, held: Held, staged: Staged, *, more: bool = False) -> None:
        """Collect ``chunk``'s readings; waits while a full flush is waiting for the one before it.

        ``held`` is what was held when the chunk was accepted. When that is no longer so, the chunk
        is left to the partition's next owner, who reads it again. ``more``: what the same fetch
        brought of other partitions comes next.
        """
        await self._room.wait()
        if self._parts and staged.series is not self._named.series:
            self._seal()  # one flush has one table of names
            await self._room.wait()
        if self._ownership.held.get(chunk.tp) is not held:
            return
        partition = partition_of(chunk.tp)
        part = self._parts.get(partition)
        if part is None:
            part = self._parts[partition] = Part(partition, held.epoch, chunk.base, chunk.base)
        part.next = chunk.next
        part.columns.append(staged.decoded.columns)
        part.rejections.extend(staged.decoded.rejections)
        part.envelopes.append(chunk.messages.envelopes)
        self._named = staged
        self._rows += len(staged.decoded.columns) + len(staged.decoded.rejections)
        if not self._work.is_set():
            self._idle.clear()
            self._work.set()
        if self._rows >= self._policy.rows * (2 if more else 1):
            self._seal()

    def _seal(self) -> None:
        self._full.set()
        self._room.clear()

    def forget(self, tp: TP) -> None:
        """Drop what is collected of ``tp``."""
        part = self._parts.pop(partition_of(tp), None)
        if part is not None:
            self._rows -= part.readings + len(part.rejections)

    async def run(self) -> None:
        """Store what is collected, until cancelled."""
        while True:
            await self._work.wait()
            await self._until_due()
            await self._store(*self._swap())
            self._took_s = asyncio.get_running_loop().time() - self._began_at
            if not self._work.is_set():
                self._idle.set()

    def gather_s(self) -> float:
        """Return for how long a broker should gather records before it sends them."""
        return gathering_s(self._policy.seconds, self._rows_per_s, self._took_s)

    async def drain(self) -> None:
        """Return when everything collected so far is stored."""
        self._full.set()
        await self._idle.wait()

    async def _until_due(self) -> None:
        due_in_s = self._began_at + self._policy.seconds - asyncio.get_running_loop().time()
        if due_in_s > 0:
            try:
                async with asyncio.timeout(due_in_s):
                    await self._full.wait()
            except TimeoutError:
                pass

    def _swap(self) -> tuple[list[Part], Staged]:
        now = asyncio.get_running_loop().time()
        self._rows_per_s = self._rows / max(now - self._began_at, TICK_S)
        self._began_at = now
        parts, named = list(self._parts.values()), self._named
        self._parts, self._rows = {}, 0
        self._work.clear()
        self._full.clear()
        self._room.set()
        return parts, named

    async def _store(self, parts: list[Part], named: Staged) -> None:
        patience = Patience()
        sent: dict[Partition, Written] = {}
        while parts:
            try:
                written = await self._sink.write(Flush(parts, named.series, named.producers))
            except (Fenced, SinkUnavailable) as problem:
                log.warning("A flush of %d partitions did not succeed: %s", len(parts), problem)
                # What a later attempt is told was judged beside the rows of the one that landed.
                sent = {**problem.sent, **sent}
                for part in parts:
                    await self._on_delayed(tp_of(part.partition))
                await patience.wait()
                parts = self._unsettled(parts, await self._progress(parts, patience), sent)
            else:
                self._settled(parts, written)
                return

    async def _progress(self, parts: list[Part], patience: Patience) -> dict[Partition, Progress]:
        while True:
            try:
                return await self._sink.progress([part.partition for part in parts])
            except SinkUnavailable as problem:
                log.warning("The database is away, readings wait in Kafka: %s", problem)
                await patience.wait()

    def _unsettled(
        self, parts: list[Part], stored: dict[Partition, Progress], sent: dict[Partition, Written]
    ) -> list[Part]:
        """Return the parts to write again: those of which progress says that nothing was written.

        One that is stored after all settles an ambiguous commit. Any other has a new owner.
        """
        again = []
        for part in parts:
            progress = stored.get(part.partition)
            position = None if progress is None else (progress.epoch, progress.next_offset)
            if position == (part.epoch, part.base):
                again.append(part)
            elif position == (part.epoch, part.next):
                self._settled([part], sent.get(part.partition, Written()))
            else:
                self._lost(part)
        return again

    def _lost(self, part: Part) -> None:
        tp = tp_of(part.partition)
        held = self._ownership.held.get(tp)
        if held is not None and held.epoch == part.epoch:
            log.warning("Partition %s/%d has another owner: giving it up", *tp)
            self._ownership.release(tp)
            self._on_lost(tp)

    def _settled(self, parts: list[Part], written: Written) -> None:
        for part in parts:
            held = self._ownership.held.get(tp_of(part.partition))
            if held is not None and held.epoch == part.epoch:
                held.stored = part.next
            self.rows_stored += part.readings + len(part.rejections)
        self._on_stored(parts, written)
