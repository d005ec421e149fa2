"""An idempotent Kafka producer that accounts for every reading it was given."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from streams.errors import ServiceUnavailable

MAX_BUFFERED_MESSAGES = 20_000
MAX_BUFFERED_KBYTES = 65_536
LINGER_MS = 5
ANSWER_S = 5.0
LOOK_AT_KAFKA = "See whether the broker runs: streamgauge doctor"
CREATE_TOPICS = "Create the topics: streamgauge topics apply"


class Message(NamedTuple):
    """One Kafka message and how many readings it holds."""

    key: bytes
    value: bytes
    readings: int


@dataclass(slots=True)
class Deliveries:
    """What became of the readings handed to a producer: ``accepted = delivered + failed + pending``."""

    accepted: int = 0
    delivered: int = 0
    failed: int = 0
    messages: int = 0
    bytes: int = 0
    last_error: str = ""

    @property
    def pending(self) -> int:
        """Readings that the broker has not acknowledged yet."""
        return self.accepted - self.delivered - self.failed


class ReadingsProducer:
    """Sends messages of readings to one topic: idempotent, acknowledged by all replicas, bounded.

    ``timeout_s`` is how long a message may stay undelivered before it counts as failed; None keeps
    trying for ever. ``max_messages`` bounds what waits inside.
    """

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        *,
        timeout_s: float | None = 30.0,
        max_messages: int = MAX_BUFFERED_MESSAGES,
        on_trouble: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.topic = topic
        self.deliveries = Deliveries()
        self._on_trouble = on_trouble
        config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "client.id": "streamgauge",
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": LINGER_MS,
            "partitioner": "murmur2_random",  # as the Java client does: one producer id, one partition
            "message.timeout.ms": int(1000 * timeout_s) if timeout_s else 0,
            # A topic that is missing may still be created: who never gives up waits for it as well.
            "topic.metadata.propagation.max.ms": 30_000 if timeout_s else 3_600_000,
            "queue.buffering.max.messages": max_messages,
            "queue.buffering.max.kbytes": MAX_BUFFERED_KBYTES,
            "error_cb": self._trouble,
            "log_level": 0,
        }
        self._producer = Producer(config)

    def require_topic(self) -> None:
        """Raise :class:`~streams.errors.ServiceUnavailable` when Kafka or the topic is not there."""
        try:
            topic = self._producer.list_topics(self.topic, timeout=ANSWER_S).topics[self.topic]
        except KafkaException as error:
            raise ServiceUnavailable(
                f"Kafka does not answer: {self.deliveries.last_error or error.args[0].str()}",
                hint=LOOK_AT_KAFKA,
            ) from error
        if topic.error is not None:
            raise ServiceUnavailable(f"topic {self.topic}: {topic.error.str()}", hint=CREATE_TOPICS)

    def offer(self, message: Message) -> bool:
        """Take one message; return False when the buffer is full."""
        try:
            self._producer.produce(
                self.topic,
                message.value,
                message.key,
                on_delivery=partial(self._delivered, message.readings),
            )
        except BufferError:
            return False
        self.deliveries.accepted += message.readings
        self.deliveries.messages += 1
        self.deliveries.bytes += len(message.value)
        return True

    def send(self, message: Message) -> None:
        """Take one message, waiting while the buffer is full.

        Raises :class:`~streams.errors.ServiceUnavailable` once a message was given up.
        """
        while not self.offer(message):
            self._producer.poll(0.05)
            self.check()
        self._producer.poll(0)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Let delivery reports in, waiting up to ``timeout_s`` for one."""
        self._producer.poll(timeout_s)

    def flush(self, timeout_s: float) -> int:
        """Wait until everything is delivered, or so long; return the readings still pending."""
        deadline = time.monotonic() + timeout_s
        while self.deliveries.pending and (left_s := deadline - time.monotonic()) > 0:
            self._producer.flush(min(left_s, 0.2))
        return self.deliveries.pending

    def finish(self, timeout_s: float) -> None:
        """Wait until everything is delivered.

        Raises :class:`~streams.errors.ServiceUnavailable` when it was not within ``timeout_s``.
        """
        pending = self.flush(timeout_s)
        self.check()
        if pending:
            raise ServiceUnavailable(
                f"Kafka has not acknowledged {pending} readings after {timeout_s:g} s"
                f" {self.deliveries.last_error}".rstrip(),
                hint=LOOK_AT_KAFKA,
            )

    def check(self) -> None:
        """Raise :class:`~streams.errors.ServiceUnavailable` when readings were not delivered."""
        if self.deliveries.failed:
            raise ServiceUnavailable(
                f"Kafka did not take {self.deliveries.failed} readings: {self.deliveries.last_error}",
                hint=LOOK_AT_KAFKA,
            )

    def _delivered(self, readings: int, error: KafkaError | None, _message: object) -> None:
        if error is None:
            self.deliveries.delivered += readings
        else:
            self.deliveries.failed += readings
            self.deliveries.last_error = error.str()

    def _trouble(self, error: KafkaError) -> None:
        self.deliveries.last_error = error.str()
        self._on_trouble(error.str())
