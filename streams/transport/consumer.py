"""The consumer: claims every hot partition before it is read, and reports what is stored."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Set
from typing import TYPE_CHECKING, Any, cast

from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import Consumer, Transport
from faust.types import TP, ConsumerMessage
from mode import Service

from streams.failpoints import Point, reach
from streams.transport.fetch import ChunkConsumerThread
from streams.transport.owner import PartitionOwner

if TYPE_CHECKING:
    from streams.transport.app import ChunkApp

TELL_EVERY_S = 1.0
RETRY_EVERY_S = 0.2
PAUSED_POLL_S = 0.005


class ReadOffsets(defaultdict[TP, int | None]):
    """What Faust drops as read already; nothing of hot topics, whose owner knows what comes next.

    A partition may be set back, and Faust would drop its chunks without a word.
    """

    def __init__(self, is_hot: Callable[[TP], bool]) -> None:
        super().__init__(lambda: None)
        self._is_hot = is_hot

    def __getitem__(self, tp: TP) -> int | None:
        """Return the offset that was read last."""
        return None if self._is_hot(tp) else super().__getitem__(tp)


class ChunkConsumer(Consumer):
    """Faust's aiokafka consumer with claims instead of committed offsets for hot topics."""

    _thread: ChunkConsumerThread

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._read_offset = ReadOffsets(self._is_hot)

    @property
    def _owner(self) -> PartitionOwner:
        return cast("ChunkApp", self.app).owner

    def _new_consumer_thread(self) -> ChunkConsumerThread:
        return ChunkConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _is_hot(self, tp: TP) -> bool:
        return tp.topic in cast("ChunkApp", self.app).hot_topics

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        if not isinstance(record, list):  # chunks come together
            return super()._to_message(tp, record)
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record[0].base,
            0.0,
            0,
            [],
            None,
            cast(bytes, record),  # Faust passes it on to the schema untouched
            None,
            0,
            0,
            TP(tp.topic, tp.partition),
            generation_id=self.app.consumer_generation_id,
        )

    async def on_partitions_revoked(self, revoked: Set[TP]) -> None:
        """Give up what another worker may get."""
        await super().on_partitions_revoked(revoked)
        reach(Point.DURING_REBALANCE)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Claim the hot partitions and seek each to what the claim says.

        Faust runs this under a timeout whose expiry it does not raise, and would then let the
        partitions flow from wherever they stand. So a claim that does not succeed in time ends
        the process.
        """
        assigned = {TP(*tp) for tp in self.assignment()}
        hot = {tp for tp in assigned if self._is_hot(tp)}
        self._owner.retain(hot)
        others = await self._thread.seek_others_to_committed(assigned - hot)
        try:
            async with asyncio.timeout(0.9 * self.app.conf.broker_request_timeout):
                return others | await self._claim(hot)
        except TimeoutError as late:
            self._owner.fatal(TimeoutError(f"claiming {len(hot)} partitions took too long: {late}"))
            raise

    async def _claim(self, hot: set[TP]) -> dict[TP, int]:
        if not hot:
            return {}
        while True:
            try:
                logs = await self._thread.log_bounds(hot)
                break
            except KafkaError as problem:
                self.log.warning("Cannot ask for the log's bounds yet: %r", problem)
                await asyncio.sleep(RETRY_EVERY_S)
        starts = dict(await self._owner.take_over(logs))
        await self._thread.locate(starts)
        self.pause_partitions(hot - starts.keys())
        return starts

    async def relocate(self, tp: TP, offset: int) -> None:
        """Read ``tp`` again from ``offset``, while it stays assigned."""
        await self._thread.locate({tp: offset})

    def hold_back(self, tp: TP) -> None:
        """Fetch nothing of ``tp`` until it is claimed again."""
        self.pause_partitions({tp})

    async def reclaim(self, tp: TP) -> None:
        """Claim ``tp`` again without a rebalance, if it is still assigned to this worker."""
        if tp in {TP(*assigned) for assigned in self.assignment()} and self.flow_active:
            self.resume_partitions(await self._claim({tp}))

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        if self.flow_active and not self._get_active_partitions():
            # Faust sleeps a whole second when every partition is paused.
            await asyncio.sleep(PAUSED_POLL_S)
            return None, set()
        records, active = await super()._wait_next_records(timeout)
        # With the flow stopped meanwhile, Faust would seek here, and so claim a second time in
        # the middle of a rebalance: a stale member would fence the partition's new owner.
        return (records if self.flow_active else None), active

    @Service.task
    async def _tell_stored(self) -> None:
        while not self.should_stop:
            await self.sleep(TELL_EVERY_S)
            if not self.app.rebalancing:
                await self.tell_stored()

    async def tell_stored(self) -> None:
        """Commit to Kafka what the database holds; it is only a courtesy, so errors are logged."""
        reach(Point.BEFORE_TELL)
        try:
            await self._thread.tell_stored(self._owner.stored())
        except KafkaError as problem:
            self.log.debug("Kafka did not take the offsets: %r", problem)

    async def leave_on_stop(self) -> None:
        """Leave the group when the consumer stops, so that others take over at once."""
        await self._thread.leave_on_stop()

    async def verify_all_partitions_active(self) -> None:
        """Say nothing: Faust's livelock detector watches offsets that are not those that count."""


class ChunkTransport(Transport):
    """Faust's aiokafka transport with :class:`ChunkConsumer`."""

    Consumer = ChunkConsumer
