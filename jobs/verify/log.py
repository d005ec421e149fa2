"""Reads the readings topic as anybody may who was told its name: no group, no stored offsets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.core.batch import Messages
from streams.errors import ServiceUnavailable, UserError

MESSAGES_AT_ONCE = 1_000
TIMEOUT_S = 10.0
POLL_S = 0.1
PATIENCE_POLLS = 300
"""So many tenths of a second may pass without a message before Kafka counts as away."""


class Bounds(NamedTuple):
    """The offsets ``[start, end)`` that a partition's log holds."""

    start: int
    end: int


class Log:
    """The log of one topic, in which only what was committed is seen.

    Raises ``KafkaException`` or :class:`~streams.errors.ServiceUnavailable` when Kafka is away.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._topic = topic
        self._config = {
            "bootstrap.servers": bootstrap,
            "group.id": "streamgauge-verify",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "queued.max.messages.kbytes": 65_536,
            "log_level": 0,
        }

    def bounds(self) -> dict[int, Bounds]:
        """Return the bounds of each partition's log. Raises UserError when there is no such topic."""
        with closing(Consumer(self._config)) as consumer:
            found = consumer.list_topics(self._topic, timeout=TIMEOUT_S).topics[self._topic]
            if found.error is not None:
                raise UserError(
                    f"topic {self._topic}: {found.error.str()}", hint="See `streamgauge topics list`."
                )
            return {
                number: Bounds(
                    *consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=TIMEOUT_S)
                )
                for number in sorted(found.partitions)
            }

    def read(self, partition: int, start: int, end: int) -> Iterator[Messages]:
        """Yield the records of ``partition`` at the offsets ``[start, end)``, some at a time, in order."""
        if start >= end:
            return
        with closing(Consumer(self._config)) as consumer:
            consumer.assign([TopicPartition(self._topic, partition, start)])
            silent, at_end = 0, False
            while not at_end:
                polled = consumer.consume(MESSAGES_AT_ONCE, POLL_S)
                silent = 0 if polled else silent + 1
                if silent > PATIENCE_POLLS:
                    raise ServiceUnavailable(f"Kafka sends nothing of {self._topic}/{partition}")
                records = [message for message in polled if not _is_end(message)]
                inside = [message for message in records if _offset(message) < end]
                at_end = len(inside) < len(polled) or (bool(inside) and _offset(inside[-1]) == end - 1)
                if inside:
                    yield _messages(inside)


def _is_end(message: Message) -> bool:
    """Tell whether it is the mark of the log's end, and raise what else is wrong."""
    error = message.error()
    if error is not None and error.code() != KafkaError._PARTITION_EOF:
        raise KafkaException(error)
    return error is not None


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None
    return offset


def _messages(records: list[Message]) -> Messages:
    return Messages(
        values=[record.value() for record in records],
        keys=[record.key() for record in records],
        offsets=np.array([record.offset() for record in records], np.int64),
        timestamps_ms=np.array([record.timestamp()[1] for record in records], np.int64),
    )
