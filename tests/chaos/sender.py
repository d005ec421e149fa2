"""A producer that keeps a ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from enum import Enum
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from confluent_kafka import KafkaError, Message, Producer

from schemas.encode import SeriesRef, encode_batch, encode_json, encode_reading, reading_document
from tests.chaos.ledger import Ledger, Reading

GIVEN_UP_AFTER_S = 120
UNKNOWN_OFFSET = -1


class Form(Enum):
    """What a message looks like; the last two hold one reading."""

    BATCH = "Avro batch"
    JSON_ARRAY = "JSON array"
    SINGLE = "Avro"
    JSON = "JSON"


class Sent(NamedTuple):
    """One message as it was sent, to be sent again."""

    key: bytes
    value: bytes | None
    readings: Sequence[Reading]
    partition: int | None


Acknowledged = Callable[[int, int], None]
"""Is told partition and offset of each message that Kafka has."""


class Sender:
    """Sends readings of one ledger; for one thread. ``sent`` are its messages so far."""

    def __init__(self, kafka: str, topic: str, path: Path, acknowledged: Acknowledged) -> None:
        self.sent: list[Sent] = []
        self._topic = topic
        self._acknowledged = acknowledged
        self._cleanup = ExitStack()
        self.ledger = self._cleanup.enter_context(Ledger(path))
        self._messages = 0
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "partitioner": "murmur2_random",
                "reconnect.backoff.max.ms": 500,
                "topic.metadata.refresh.interval.ms": 1_000,
                "message.max.bytes": 3_000_000,
                "message.timeout.ms": GIVEN_UP_AFTER_S * 1000,
                "error_cb": lambda _error: None,
                "log_level": 0,
            }
        )

    def send(self, readings: Sequence[Reading], form: Form, partition: int | None = None) -> None:
        """Send readings of one producer, in one message or as one message each."""
        many = form in (Form.BATCH, Form.JSON_ARRAY)
        for group in [readings] if many else [[reading] for reading in readings]:
            self.repeat(Sent(group[0].producer.encode(), _encode(group, form), group, partition))

    def repeat(self, message: Sent) -> None:
        """Send a message, for the first time or again."""
        self._messages += 1
        self.ledger.write(self._messages, message.readings)
        self.sent.append(message)
        self._produce(message, partial(self._delivered, self._messages))

    def send_bytes(self, value: bytes | None, key: bytes) -> None:
        """Send what is no reading, and stands in no ledger."""
        self._produce(Sent(key, value, (), None), self._delivered_bytes)

    def flush(self) -> int:
        """Wait until Kafka has everything; return how many messages it does not have."""
        return self._producer.flush(GIVEN_UP_AFTER_S)

    def __enter__(self) -> Sender:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.flush()
        self._cleanup.close()

    def _produce(self, message: Sent, delivered: Callable[[KafkaError | None, Message], None]) -> None:
        self._producer.produce(
            self._topic,
            message.value,
            message.key,
            partition=-1 if message.partition is None else message.partition,
            on_delivery=delivered,
        )
        self._producer.poll(0)

    def _delivered(self, number: int, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            return
        partition, offset = _place(message)
        # Without an offset it was taken for a repeat, which is not so in a topic that was made again.
        if offset != UNKNOWN_OFFSET:
            self.ledger.acknowledge(number, partition, offset)
            self._acknowledged(partition, offset)

    def _delivered_bytes(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._acknowledged(*_place(message))


def _place(message: Message) -> tuple[int, int]:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    return partition, UNKNOWN_OFFSET if offset is None or offset < 0 else offset


def _encode(readings: Sequence[Reading], form: Form) -> bytes:
    match form:
        case Form.BATCH:
            return _encode_batch(readings)
        case Form.SINGLE:
            return encode_reading(**readings[0]._asdict())
        case Form.JSON:
            return encode_json(reading_document(**readings[0]._asdict()))
        case Form.JSON_ARRAY:
            return encode_json([reading_document(**reading._asdict()) for reading in readings])


def _encode_batch(readings: Sequence[Reading]) -> bytes:
    """Return a batch; its readings have one producer and epoch, and numbers in a row if they have any."""
    first = readings[0]
    series = sorted({(reading.source, reading.metric) for reading in readings})
    index = {name: number for number, name in enumerate(series)}
    return encode_batch(
        producer=first.producer,
        tenant=first.tenant,
        series=[SeriesRef(*name) for name in series],
        series_index=[index[reading[:2]] for reading in readings],
        time_us=[reading.time_us for reading in readings],
        value=[reading.value for reading in readings],
        epoch=first.epoch,
        first_sequence=first.sequence,
        quality=[reading.quality for reading in readings],
        revision=[reading.revision for reading in readings],
    )
