"""Looks now and then whether what is held may still be held, and what is halted must still be halted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from faust.types import TP

from sinks.protocols import Fenced, Progress, SinkUnavailable
from streams.agents.ownership import Held, Ownership, TopicIds, of_another_topic, partition_of
from streams.agents.sink_thread import SinkThread
from streams.errors import ServiceUnavailable

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0


class Guard:
    """Watches topics for being recreated, halts for being resolved, and epochs for being raised.

    ``on_resumed`` is told of a partition that somebody resumed, ``on_lost`` of one that another
    worker took.
    """

    def __init__(
        self,
        ownership: Ownership,
        sink: SinkThread,
        topic_ids: TopicIds,
        on_resumed: Callable[[TP], None],
        on_lost: Callable[[TP], None],
    ) -> None:
        self._ownership = ownership
        self._sink = sink
        self._topic_ids = topic_ids
        self._on_resumed = on_resumed
        self._on_lost = on_lost

    async def run(self) -> None:
        """Look once a second, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.look()
            except (ServiceUnavailable, SinkUnavailable) as problem:
                log.debug("Looked in vain: %s", problem)

    async def look(self) -> None:
        """Look once. Raises ServiceUnavailable, SinkUnavailable."""
        await self._at_topics()
        await self._note_halts()
        await self._at_progress()

    async def _at_topics(self) -> None:
        held = self._ownership.held
        for topic in {tp.topic for tp in held}:
            topic_id = await self._topic_ids(topic)
            for tp in [tp for tp in held if tp.topic == topic]:
                halt = of_another_topic(tp, held[tp], topic_id)
                if halt is not None:
                    self._ownership.halt(tp, halt)

    async def _note_halts(self) -> None:
        for tp, halt in list(self._ownership.halted.items()):
            if halt.kind is None or halt.epoch is None:
                continue
            try:
                await self._sink.halt(partition_of(tp), halt.epoch, halt.kind, halt.reason)
            except Fenced:
                log.info("%s/%d has another owner, who decides", *tp)
            halt.epoch = None

    async def _at_progress(self) -> None:
        held, halted = dict(self._ownership.held), dict(self._ownership.halted)
        stored = await self._sink.progress([partition_of(tp) for tp in (*held, *halted)])
        for tp in held:
            progress = stored.get(partition_of(tp))
            if progress is not None and self._ownership.held.get(tp) is held[tp]:
                self._compare(tp, held[tp], progress)
        for tp, halt in halted.items():
            progress = stored.get(partition_of(tp))
            still = self._ownership.halted.get(tp) is halt and halt.epoch is None
            if still and progress is not None and not progress.halted:
                log.info("%s/%d was resumed", *tp)
                del self._ownership.halted[tp]
                self._on_resumed(tp)

    def _compare(self, tp: TP, held: Held, progress: Progress) -> None:
        if progress.epoch == held.epoch:
            return
        self._ownership.release(tp)
        if progress.owner == self._ownership.owner_id:
            log.info("%s/%d was set to offset %d", *tp, progress.next_offset)
            self._on_resumed(tp)
        else:
            log.warning("Partition %s/%d has another owner: giving it up", *tp)
            self._on_lost(tp)
