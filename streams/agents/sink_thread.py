"""Calls a blocking sink from the event loop, one call at a time in one thread of its own.

One thread is what the sink's contract asks for, and it orders claims after a flush in flight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sinks.protocols import Flush, HaltKind, Partition, Progress, ReadingsSink, Written

T = TypeVar("T")


class SinkThread:
    """The asynchronous face of a :class:`~sinks.protocols.ReadingsSink`."""

    def __init__(self, sink: ReadingsSink) -> None:
        self._sink = sink
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sink")

    async def claim(
        self, partition: Partition, owner: str, start: int, end: int, topic_id: str | None
    ) -> Progress:
        """See :meth:`~sinks.protocols.ReadingsSink.claim`."""
        return await self._call(lambda: self._sink.claim(partition, owner, start, end, topic_id))

    async def progress(self, partitions: list[Partition]) -> dict[Partition, Progress]:
        """See :meth:`~sinks.protocols.ReadingsSink.progress`."""
        return await self._call(lambda: self._sink.progress(partitions))

    async def write(self, flush: Flush) -> Written:
        """See :meth:`~sinks.protocols.ReadingsSink.write`."""
        return await self._call(lambda: self._sink.write(flush))

    async def halt(self, partition: Partition, epoch: int, kind: HaltKind, reason: str) -> None:
        """See :meth:`~sinks.protocols.ReadingsSink.halt`."""
        await self._call(lambda: self._sink.halt(partition, epoch, kind, reason))

    async def attempt(self, partition: Partition, epoch: int, offset: int) -> None:
        """See :meth:`~sinks.protocols.ReadingsSink.attempt`."""
        await self._call(lambda: self._sink.attempt(partition, epoch, offset))

    async def absolve(self, partition: Partition, epoch: int) -> None:
        """See :meth:`~sinks.protocols.ReadingsSink.absolve`."""
        await self._call(lambda: self._sink.absolve(partition, epoch))

    def release(self, partition: Partition) -> None:
        """Have the sink forget ``partition`` after the call in flight; see its own ``release``."""
        self._thread.submit(self._sink.release, partition)

    async def close(self) -> None:
        """Close the sink after the call in flight, and end the thread."""
        await self._call(self._sink.close)
        self._thread.shutdown(wait=False)

    async def _call(self, work: Callable[[], T]) -> T:
        # Shielded: a rebalance cancels its caller, but the thread goes on and must stay in order.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))
