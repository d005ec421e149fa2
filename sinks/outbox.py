"""Sends what committed transactions left in the outbox, each message at least once and in order.

A message is deleted only after Kafka acknowledged it. Whoever is killed in between leaves it to be
sent again, with the same ``event_id``: a consumer sees a repeat, never a gap. One relay works at a
time, whichever holds the lock; the others stand by.

Each topic is a queue of its own. One that Kafka does not take holds back itself alone; a message
that Kafka refuses for good is set aside, and holds back nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import psycopg
from confluent_kafka import KafkaError, KafkaException, Producer

from sinks.timescale.outbox import (
    Message,
    OutboxState,
    mark_sent,
    next_messages,
    read_state,
    set_aside,
    waiting_topics,
)
from sinks.timescale.session import Connection, connect
from streams.failpoints import Point, reach

log = logging.getLogger(__name__)

BATCH = 1_000
IDLE_S = 0.05
SLICE_S = 0.5
"""How long a topic is sent before it is the next one's turn."""

STAND_BY_S = 1.0
HOLD_S = 5.0
"""How long a topic waits that Kafka did not take, before it is tried again."""

LOOK_EVERY_S = 5.0
"""How often the state of the outbox is told."""

ANSWER_S = 30.0
"""How long Kafka may take to acknowledge a batch."""

LOOK_UP_S = 0.5
"""How often whoever waits for Kafka looks whether to stop."""

WARN_EVERY_S = 60.0
IDLE_SESSION_TIMEOUT = "60s"
"""A relay that stands still keeps its session, and with it the lock: then the database ends it."""

ANY_PARTITION = -1
FOR_GOOD = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})
NO_ANSWER = KafkaError(KafkaError._TIMED_OUT, f"Kafka does not acknowledge it within {ANSWER_S:g} s")

_GIVE_UP_LOCK = "SELECT set_config('idle_session_timeout', %s, false)"
_LOCK = "SELECT pg_try_advisory_lock(hashtext('streamgauge outbox'))"

_RUNBOOK = "See 'The outbox grows' in docs/runbook.md"


class NotDelivered(Exception):  # noqa: N818 - reads as what happened
    """Kafka did not take a message; it stays in the outbox."""


class OutboxRelay:
    """A thread that empties the outbox of one database into Kafka.

    ``tell`` is told the state of the outbox every few seconds, also by those that stand by. The log
    warns while a message has waited for more than ``warn_after_s``.
    """

    def __init__(
        self,
        dsn: str,
        bootstrap: str,
        owner: str,
        *,
        warn_after_s: float = 60.0,
        tell: Callable[[OutboxState], None] = lambda _: None,
    ) -> None:
        self._dsn = dsn
        self._owner = f"relay/{owner}"
        self._producer_config: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 2,
            "partitioner": "murmur2_random",  # as producers of readings choose
            # Nothing is given up while it is sent, so nothing overtakes it: ``send`` gives up all at once.
            "message.timeout.ms": 0,
            "topic.metadata.propagation.max.ms": 1_000,
            # No batch is larger than the least that a declared topic takes, a single message is the
            # broker's to judge.
            "batch.size": 65_536,
            "message.max.bytes": 100_000_000,
            "log_level": 0,
        }
        self._warn_after_s = warn_after_s
        self._tell = tell
        self._look_at = 0.0
        self._warn_at = 0.0
        self._held: dict[str, float] = {}
        self._said: dict[str, str] = {}
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
        while not self._stop.is_set():
            try:
                self._relay()
            except (psycopg.Error, KafkaException) as problem:
                self._say("", f"The outbox waits: {' '.join(str(problem).split())}")
                self._stop.wait(STAND_BY_S)

    def _relay(self) -> None:
        # A producer of its own for each turn at the lock: nothing of an earlier turn can come late.
        with connect(self._dsn, self._owner) as session:
            session.execute(_GIVE_UP_LOCK, (IDLE_SESSION_TIMEOUT,))
            while not session.execute(_LOCK).fetchall()[0][0]:
                self._look(session)
                if self._stop.wait(STAND_BY_S):
                    return
            self._said.pop("", None)
            producer = Producer(self._producer_config)
            while not self._stop.is_set():
                self._look(session)
                now = time.monotonic()
                due = [topic for topic in waiting_topics(session) if self._held.get(topic, now) <= now]
                for topic in due:
                    try:
                        self._relay_topic(session, producer, topic)
                    except NotDelivered as problem:
                        if self._stop.is_set():
                            return
                        self._hold(topic, problem)
                        producer = Producer(self._producer_config)
                    else:
                        self._release(topic)
                if not due:
                    self._stop.wait(IDLE_S)

    def _relay_topic(self, session: Connection, producer: Producer, topic: str) -> None:
        # Going on after the last id spares reading what was just deleted. Now and then it begins at the
        # front: a transaction with lower ids may have been committed since.
        until = time.monotonic() + SLICE_S
        after: int | None = 0
        while after is not None and time.monotonic() < until and not self._stop.is_set():
            after = relay_some(session, producer, topic, after, self._stop)

    def _hold(self, topic: str, problem: NotDelivered) -> None:
        self._held[topic] = time.monotonic() + HOLD_S
        self._say(topic, f"The outbox waits for topic {topic}: {problem}. {_RUNBOOK}")

    def _release(self, topic: str) -> None:
        if self._held.pop(topic, None) is not None:
            del self._said[topic]
            log.info("The outbox goes on with topic %s", topic)

    def _say(self, about: str, words: str) -> None:
        if words != self._said.get(about):
            log.warning("%s", words)
            self._said[about] = words

    def _look(self, session: Connection) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        state = read_state(session)
        self._tell(state)
        if now >= self._warn_at and (trouble := state.trouble(self._warn_after_s)):
            self._warn_at = now + WARN_EVERY_S
            log.warning("%s. %s", "; ".join(trouble), _RUNBOOK)


def relay_some(
    session: Connection, producer: Producer, topic: str, after: int, stop: threading.Event
) -> int | None:
    """Send the next messages of ``topic`` with ids above ``after`` and remove those that Kafka has.

    Returns the last id, or None when there may be no more. Raises :class:`NotDelivered` when some may
    be sent later; ``producer`` must not be used again then.
    """
    messages = next_messages(session, topic, after, BATCH)
    answers = send(producer, messages, stop)
    refused = [message for message in messages if is_for_good(answers[message.id])]
    # A batch is refused as a whole for its size: only alone does a message show that it is at fault.
    if all(error is not NO_ANSWER for error in answers.values()):
        for message in refused:
            answers.update(send(producer, [message], stop))
    reach(Point.BEFORE_MARK)
    mark_sent(session, [number for number, error in answers.items() if error is None])
    for message in refused:
        if (error := answers[message.id]) and is_for_good(error):
            set_aside(session, message.id, error.str())
            log.error("Kafka refused %s for %s: %s. %s", message.event_id, topic, error.str(), _RUNBOOK)
    later = [error for error in answers.values() if error is not None and not is_for_good(error)]
    if later:
        raise NotDelivered(later[0].str())
    return messages[-1].id if len(messages) == BATCH else None


def send(producer: Producer, messages: list[Message], stop: threading.Event) -> dict[int, KafkaError | None]:
    """Send messages in order, wait, and return what Kafka said of each by its id: None where it has it.

    Those that are not acknowledged in time, or when ``stop`` is set, are given up with ``NO_ANSWER``.
    """
    answers: dict[int, KafkaError | None] = {}

    def answered(number: int, error: KafkaError | None, _: object) -> None:
        answers[number] = error

    for message in messages:
        try:
            producer.produce(
                message.topic,
                message.value,
                message.key,
                headers={"event_id": message.event_id},
                on_delivery=partial(answered, message.id),
                partition=ANY_PARTITION if message.partition is None else message.partition,
            )
        except KafkaException as refusal:
            answers[message.id] = refusal.args[0]
    deadline = time.monotonic() + ANSWER_S
    while (left := producer.flush(LOOK_UP_S)) and time.monotonic() < deadline and not stop.is_set():
        pass
    said = {message.id: answers.get(message.id, NO_ANSWER) for message in messages}
    if left:
        producer.purge()
        producer.flush(LOOK_UP_S)
    return said


def is_for_good(error: KafkaError | None) -> bool:
    """Tell whether no later attempt would change what Kafka said of a message."""
    return error is not None and error.code() in FOR_GOOD
