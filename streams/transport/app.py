"""A Faust application on the chunk transport."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import faust
from faust.types import Message

from streams.transport.consumer import ChunkConsumer, ChunkTransport
from streams.transport.fetch import MAX_FETCH_BYTES
from streams.transport.owner import PartitionOwner
from streams.transport.scheduler import ChunkScheduler


class ChunkSchema(faust.Schema[Any, Any]):
    """Passes a chunk through untouched: decoding is ours, so that one bad record costs one dead letter."""

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        """Return the function that makes an event of a message."""

        async def decode(message: Message, *, propagate: bool = False) -> Any:  # noqa: ARG001
            return app.create_event(None, message.value, message.headers, message)

        return decode


class ChunkApp(faust.App):
    """A Faust app whose ``hot_topics`` arrive as chunks, read from where ``owner`` says.

    While records come, brokers gather them for as long as ``gather_s`` says, in seconds, before they
    answer a fetch. It is asked in the consumer's thread.

    ``count_fetch_cpu`` is told, in the consumer's thread, how many seconds of CPU that used more.
    """

    def __init__(
        self,
        name: str,
        *,
        owner: PartitionOwner,
        hot_topics: frozenset[str],
        gather_s: Callable[[], float],
        count_fetch_cpu: Callable[[float], None],
        **options: Any,
    ) -> None:
        self.owner = owner
        self.hot_topics = hot_topics
        self.gather_s = gather_s
        self.count_fetch_cpu = count_fetch_cpu
        super().__init__(
            name,
            ConsumerScheduler=ChunkScheduler,
            # Standby replicas would select Faust's own assignor, which left a third worker idle.
            table_standby_replicas=0,
            topic_disable_leader=True,
            stream_wait_empty=False,
            stream_buffer_maxsize=4,
            broker_max_poll_records=8000,
            consumer_max_fetch_size=MAX_FETCH_BYTES,
            consumer_auto_offset_reset="earliest",
            # Partitions that are added, and a topic that is made again, are seen after this time.
            consumer_metadata_max_age_ms=5000,
            web_enabled=False,
            **options,
        )

    @property
    def chunk_consumer(self) -> ChunkConsumer:
        """The consumer, by its own type."""
        return cast(ChunkConsumer, self.consumer)

    def _new_transport(self) -> ChunkTransport:
        return ChunkTransport(self.conf.broker_consumer, self)

    def hot_topic(self, name: str) -> faust.TopicT:
        """Declare a topic whose chunks arrive whole and are never acknowledged to Faust."""
        return self.topic(name, schema=ChunkSchema(), acks=False)
