"""Sends what committed transactions left in the outbox, each message at least once and in order.

A message is deleted only after Kafka acknowledged it. Whoever is killed in between leaves it to be
sent again, with the same ``event_id``: a consumer sees a repeat, never a gap. One relay works at a
time, whichever holds the lock; the others stand by.
"""

from __future__ import annotations

import logging
import threading
from typing import Any, NamedTuple

import psycopg
from confluent_kafka import KafkaError, KafkaException, Producer

from sinks.timescale.session import connect
from streams.failpoints import Point, reach

log = logging.getLogger(__name__)

BATCH = 1_000
IDLE_S = 0.05
STAND_BY_S = 1.0
DELIVERY_TIMEOUT_MS = 30_000
ANY_PARTITION = -1

_LOCK = "SELECT pg_try_advisory_lock(hashtext('streamgauge outbox'))"
_NEXT = "SELECT id, event_id, topic, partition, key, value FROM outbox ORDER BY id LIMIT %s"
_SENT = "DELETE FROM outbox WHERE id = ANY(%s)"


class Message(NamedTuple):
    """One message of the outbox."""

    id: int
    event_id: str
    topic: str
    partition: int | None
    key: bytes
    value: bytes


class NotDelivered(Exception):  # noqa: N818 - reads as what happened
    """Kafka did not take a message; it stays in the outbox."""


class OutboxRelay:
    """A thread that empties the outbox of one database into Kafka."""

    def __init__(self, dsn: str, bootstrap: str, owner: str) -> None:
        self._dsn = dsn
        self._owner = f"relay/{owner}"
        self._producer_config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 2,
            "message.timeout.ms": DELIVERY_TIMEOUT_MS,
            "log_level": 0,
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="outbox-relay", daemon=True)

    def start(self) -> None:
        """Begin to work, or to stand by."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End after the messages in flight or ``timeout_s``; what is left is for the next relay."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        said = ""
        while not self._stop.is_set():
            try:
                self._relay()
            except (psycopg.Error, KafkaException, NotDelivered) as problem:
                words = " ".join(str(problem).split())
                if words != said:
                    log.warning("The outbox waits: %s", words)
                    said = words
                self._stop.wait(STAND_BY_S)

    def _relay(self) -> None:
        # A producer of its own for each turn at the lock: nothing of an earlier turn can come late.
        with connect(self._dsn, self._owner) as session:
            while not session.execute(_LOCK).fetchall()[0][0]:
                if self._stop.wait(STAND_BY_S):
                    return
            producer = Producer(self._producer_config)
            while not self._stop.is_set():
                messages = [Message(*row) for row in session.execute(_NEXT, (BATCH,))]
                if messages:
                    send(producer, messages)
                    reach(Point.BEFORE_MARK)
                    session.execute(_SENT, ([message.id for message in messages],))
                else:
                    self._stop.wait(IDLE_S)


def send(producer: Producer, messages: list[Message]) -> None:
    """Send messages in order and wait until Kafka has them all. Raises :class:`NotDelivered`."""
    failures: list[str] = []

    def delivered(error: KafkaError | None, _: object) -> None:
        if error is not None:
            failures.append(error.str())

    for message in messages:
        producer.produce(
            message.topic,
            message.value,
            message.key,
            headers={"event_id": message.event_id},
            on_delivery=delivered,
            partition=ANY_PARTITION if message.partition is None else message.partition,
        )
    left = producer.flush(DELIVERY_TIMEOUT_MS / 1000)
    if failures or left:
        raise NotDelivered(failures[0] if failures else f"{left} messages are not acknowledged")
