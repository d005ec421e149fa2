"""The consumer's thread: turns what was fetched of the hot topics into located chunks.

Only this thread knows where a fetch began. The first record's offset does not tell: compaction and
transaction markers leave gaps, and a seek may overtake a running fetch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import aiokafka
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from streams.transport.chunk import Chunk
from streams.transport.owner import LogBounds

if TYPE_CHECKING:
    from streams.transport.app import ChunkApp

READ_COMMITTED = "read_committed"

IDLE_WAIT_MS = 500
"""How long a broker may wait for a first record where none come."""

BACKLOG_WAIT_MS = 10
"""The same, while fetched records are at hand: one request at a time goes to a broker, and what is read
to the end of its last fetch has to wait for it."""

MAX_FETCH_BYTES = 262_144
"""Of one partition at once, or a single batch of a producer that is larger. More made no worker faster, and
took memory: it is decoded as a whole."""

GATHERED_BYTES = MAX_FETCH_BYTES
"""While records come, a broker gathers them up to so many bytes: each fetch costs as much as many records."""

BUSY_FOR_S = 0.1
"""So long after the last record they count as coming."""


def pace(gather_s: float, *, is_busy: bool, has_backlog: bool) -> tuple[int, int]:
    """Return for how many milliseconds, and up to how many bytes, a broker may gather records.

    >>> pace(0.03, is_busy=False, has_backlog=False)
    (500, 1)
    >>> pace(0.03, is_busy=True, has_backlog=False)
    (30, 262144)
    """
    if not is_busy:
        return IDLE_WAIT_MS, 1
    return BACKLOG_WAIT_MS if has_backlog else round(1000 * gather_s), GATHERED_BYTES


def kafka_tp(tp: TP) -> TopicPartition:
    """Return aiokafka's own type for a partition: it refuses Faust's."""
    return TopicPartition(tp.topic, tp.partition)


class _Fetched(dict[TopicPartition, Any]):
    """What aiokafka fetched of each partition.

    Records of hot topics stay as they were parsed: making a ConsumerRecord of each costs twice as
    much as to parse it, and a chunk needs nothing that it adds.
    """

    def __init__(self, hot: frozenset[str]) -> None:
        super().__init__()
        self._hot = hot

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        if isinstance(result, FetchResult) and tp.topic in self._hot:
            result._partition_records._consumer_record = _as_parsed
        super().__setitem__(tp, result)


def _as_parsed(_tp: TopicPartition, record: Any) -> Any:
    return record


class ChunkConsumerThread(AIOKafkaConsumerThread):
    """Fetches hot topics as chunks. All its coroutines run in the consumer's own thread."""

    def __post_init__(self) -> None:
        super().__post_init__()
        app = cast("ChunkApp", self.app)
        self._hot: frozenset[str] = app.hot_topics
        self._gather_s = app.gather_s
        # Where the next chunk of a partition begins, with aiokafka's state object of the
        # assignment it was said for: an end from an earlier assignment must not locate a chunk.
        self._located: dict[TopicPartition, tuple[Any, int]] = {}
        self._counted_cpu_s = 0.0
        self._is_busy = False

    async def on_start(self) -> None:
        """Start the consumer, and see what it fetches."""
        await super().on_start()
        fetcher = self._ensure_consumer()._fetcher
        fetcher._records = _Fetched(self._hot)

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Readings of an aborted transaction were never sent, as far as anybody may know.
        consumer._isolation_level = READ_COMMITTED
        return consumer

    async def log_bounds(self, tps: Iterable[TP]) -> dict[TP, LogBounds]:
        """Ask the broker for the bounds of these partitions' logs."""
        return await self.call_thread(self._log_bounds, [kafka_tp(tp) for tp in tps])  # type: ignore[no-any-return]

    async def _log_bounds(self, tps: list[TopicPartition]) -> dict[TP, LogBounds]:
        consumer = self._ensure_consumer()
        starts = await consumer.beginning_offsets(tps)
        ends = await consumer.end_offsets(tps)
        return {TP(*tp): LogBounds(starts[tp], ends[tp]) for tp in tps}

    async def locate(self, offsets: Mapping[TP, int]) -> None:
        """Seek, and begin the next chunk of each partition exactly there."""
        await self.call_thread(self._locate, {kafka_tp(tp): offset for tp, offset in offsets.items()})

    async def _locate(self, offsets: Mapping[TopicPartition, int]) -> None:
        consumer = self._ensure_consumer()
        for tp, offset in offsets.items():
            if tp in consumer.assignment():
                consumer.seek(tp, offset)
                self._located[tp] = (self._state(tp), offset)

    async def tell_stored(self, offsets: Mapping[TP, int]) -> None:
        """Commit offsets to Kafka, for whoever looks at the group's lag there."""
        await self.call_thread(self._tell_stored, offsets)

    async def _tell_stored(self, offsets: Mapping[TP, int]) -> None:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        known = {kafka_tp(tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        known = {tp: offset for tp, offset in known.items() if tp in assigned}
        if known:
            await consumer.commit(known)

    async def leave_on_stop(self) -> None:
        """Leave the group when the consumer stops, so that others take over at once.

        aiokafka lets a static member's session expire instead, which is right for a restart only.
        """
        await self.call_thread(self._forget_static_name)

    async def _forget_static_name(self) -> None:
        self._ensure_consumer()._coordinator._group_instance_id = None

    async def seek_others_to_committed(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Seek partitions of ordinary topics to the offsets committed to Kafka."""
        partitions = [kafka_tp(tp) for tp in tps]
        if not partitions:
            return {}
        found = await self.call_thread(self._ensure_consumer().seek_to_committed, *partitions)
        return {TP(*tp): offset for tp, offset in found.items()}

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[Any, Any]:
        patience_s = BUSY_FOR_S if self._is_busy else timeout
        fetched = dict(await super()._fetch_records(consumer, active_partitions, patience_s, max_records))
        fetcher, self._is_busy = consumer._fetcher, bool(fetched)
        fetcher._fetch_max_wait_ms, fetcher._fetch_min_bytes = pace(
            self._gather_s(), is_busy=self._is_busy, has_backlog=bool(fetcher._records)
        )
        # Nothing may be awaited between the fetch and here: positions would run ahead of it.
        chunks: dict[TopicPartition, Chunk] = {}
        for tp in self._hot_partitions(active_partitions):
            chunk = self._chunk(tp, fetched.pop(tp, []))
            if chunk is not None:
                chunks[tp] = chunk
        self._count_cpu()
        return {**fetched, **await self._with_losses(consumer, chunks)}

    def _count_cpu(self) -> None:
        cpu_s = time.thread_time()
        cast("ChunkApp", self.app).count_fetch_cpu(cpu_s - self._counted_cpu_s)
        self._counted_cpu_s = cpu_s

    def _hot_partitions(self, active: set[TP]) -> list[TopicPartition]:
        return [kafka_tp(tp) for tp in active if tp.topic in self._hot]

    def _chunk(self, tp: TopicPartition, records: list[Any]) -> Chunk | None:
        state = self._state(tp)
        located_for, base = self._located.get(tp, (None, 0))
        if state is None or located_for is not state or not state.has_valid_position:
            return None
        position: int = state.position
        if position == base:
            return None
        if position < base:
            del self._located[tp]
            return replace(Chunk.of(TP(*tp), base, base, []), rewound=True)
        self._located[tp] = (state, position)
        return Chunk.of(TP(*tp), base, position, records)

    def _state(self, tp: TopicPartition) -> Any:
        subscription = self._ensure_consumer()._subscription.subscription
        if subscription is None or subscription.assignment is None:
            return None
        if tp not in subscription.assignment.tps:
            return None
        return subscription.assignment.state_value(tp)

    async def _with_losses(
        self, consumer: aiokafka.AIOKafkaConsumer, chunks: dict[TopicPartition, Chunk]
    ) -> dict[Any, Any]:
        suspects = [tp for tp, chunk in chunks.items() if _gap_at_front(chunk)]
        starts = await consumer.beginning_offsets(suspects) if suspects else {}
        return {
            tp: replace(chunk, lost_before=starts[tp]) if starts.get(tp, 0) > chunk.base else chunk
            for tp, chunk in chunks.items()
        }


def _gap_at_front(chunk: Chunk) -> bool:
    if chunk.rewound:
        return False
    return len(chunk.messages) == 0 or int(chunk.messages.offsets[0]) > chunk.base
