"""The relay: nothing of the outbox is lost, order is kept, repeats carry the same id, topics are apart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from sinks.outbox import OutboxRelay
from sinks.timescale.outbox import OutboxState
from streams.failpoints import VARIABLE
from streams.settings import Settings
from tests.databases import as_writer
from tests.waiting import eventually

pytestmark = pytest.mark.stack
ADD = "INSERT INTO outbox (event_id, topic, partition, key, value) VALUES (%s, %s, %s, %s, %s)"


@pytest.fixture
def outbox(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("TRUNCATE outbox")
        yield session


def add(outbox: psycopg.Connection[Any], topic: str, numbers: range, partition: int | None = 0) -> None:
    with outbox.cursor() as cursor:
        cursor.executemany(ADD, [(f"id-{n}", topic, partition, b"k", b"%d" % n) for n in numbers])


@contextmanager
def relaying(database: str, stack: Settings, owner: str = "a", **options: Any) -> Iterator[OutboxRelay]:
    relay = OutboxRelay(as_writer(database), stack.kafka, owner, **options)
    relay.start()
    try:
        yield relay
    finally:
        relay.stop(10)


def left(outbox: psycopg.Connection[Any]) -> int:
    ((count,),) = outbox.execute("SELECT count(*) FROM outbox").fetchall()
    return int(count)


def sent(stack: Settings, topic: str, at_least: int) -> list[tuple[str, str]]:
    """Return event id and value of what partition 0 of ``topic`` holds."""
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": topic})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages: list[tuple[str, str]] = []
    while len(messages) < at_least:
        got = consumer.consume(min(100, at_least - len(messages)), 30)
        assert got, f"{len(messages)} of {at_least} messages arrived"
        for message in got:
            event_id, value = dict(message.headers() or [])["event_id"], message.value()
            assert isinstance(event_id, bytes)
            assert isinstance(value, bytes)
            messages.append((event_id.decode(), value.decode()))
    consumer.close()
    return messages


def test_everything_is_sent_in_order_and_then_gone(
    outbox: psycopg.Connection[Any], database: str, stack: Settings, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    add(outbox, topic, range(2500))
    relay = OutboxRelay(as_writer(database), stack.kafka, "a")
    relay.start()
    eventually(lambda: left(outbox) == 0, "the outbox to be empty")
    relay.stop(10)
    assert sent(stack, topic, 2500) == [(f"id-{n}", str(n)) for n in range(2500)]


def test_one_relay_works_and_the_other_takes_over(
    outbox: psycopg.Connection[Any], database: str, stack: Settings, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    relays = [OutboxRelay(as_writer(database), stack.kafka, name) for name in "ab"]
    for relay in relays:
        relay.start()
    add(outbox, topic, range(100))
    eventually(lambda: left(outbox) == 0, "the first to send")
    relays[0].stop(10)
    add(outbox, topic, range(100, 200))
    eventually(lambda: left(outbox) == 0, "the second to send")
    relays[1].stop(10)
    assert sent(stack, topic, 200) == [(f"id-{n}", str(n)) for n in range(200)]


def test_a_message_that_cannot_be_sent_stays_and_is_sent_once_it_can(
    outbox: psycopg.Connection[Any], database: str, stack: Settings, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    add(outbox, topic, range(3))
    relay = OutboxRelay(as_writer(database), "127.0.0.1:9", "a")
    relay.start()
    relay.stop(2)
    assert left(outbox) == 3
    relay = OutboxRelay(as_writer(database), stack.kafka, "b")
    relay.start()
    eventually(lambda: left(outbox) == 0, "the outbox to be empty")
    relay.stop(10)
    assert {value for _, value in sent(stack, topic, 3)} == {"0", "1", "2"}


RELAY_PROCESS = """
import sys, threading
from sinks import outbox
from streams.failpoints import switch_on
switch_on()
outbox.IDLE_SESSION_TIMEOUT = sys.argv[3]
outbox.OutboxRelay(sys.argv[1], sys.argv[2], "other").start()
threading.Event().wait()
"""


def relay_process(
    database: str, stack: Settings, idle: str = "60s", **environment: str
) -> subprocess.Popen[bytes]:
    """Start a relay in a process of its own."""
    command = [sys.executable, "-c", RELAY_PROCESS, as_writer(database), stack.kafka, idle]
    return subprocess.Popen(command, env={**os.environ, **environment})


def kill_between_send_and_mark(database: str, stack: Settings) -> None:
    """Let a relay send what there is, and end it before it can mark that."""
    process = relay_process(database, stack, **{VARIABLE: "before_mark:kill"})
    assert process.wait(60) == -signal.SIGKILL


def test_killed_between_send_and_mark_it_repeats_with_the_same_ids_and_leaves_no_gap(
    outbox: psycopg.Connection[Any], database: str, stack: Settings, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    add(outbox, topic, range(100))
    kill_between_send_and_mark(database, stack)
    assert len(sent(stack, topic, 100)) == 100
    assert left(outbox) == 100
    add(outbox, topic, range(100, 150))
    with relaying(database, stack):
        eventually(lambda: left(outbox) == 0, "another relay to send")
    once = [(f"id-{n}", str(n)) for n in range(150)]
    assert sent(stack, topic, 250) == once[:100] + once


def test_a_relay_that_stands_still_loses_the_lock_and_another_goes_on(
    outbox: psycopg.Connection[Any], database: str, stack: Settings, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    process = relay_process(database, stack, idle="3s")
    try:
        add(outbox, topic, range(10))
        eventually(lambda: left(outbox) == 0, "it to hold the lock and to send")
        process.send_signal(signal.SIGSTOP)
        add(outbox, topic, range(10, 20))
        with relaying(database, stack):
            eventually(lambda: left(outbox) == 0, "another to go on")
        assert sent(stack, topic, 20) == [(f"id-{n}", str(n)) for n in range(20)]
    finally:
        process.kill()
        process.wait()


def test_what_kafka_refuses_for_good_is_set_aside_with_its_reason_and_the_rest_goes_on(
    outbox: psycopg.Connection[Any], database: str, stack: Settings, new_topic: Callable[..., str]
) -> None:
    topic = new_topic(max_message_bytes="2000")
    add(outbox, topic, range(500))  # in batches that are larger than the topic takes
    outbox.execute(ADD, ("large", topic, 0, b"k", os.urandom(5000)))
    add(outbox, topic, range(500, 510))
    with relaying(database, stack):
        eventually(lambda: left(outbox) == 1, "all others to be sent")
    assert {value for _, value in sent(stack, topic, 510)} == {str(n) for n in range(510)}
    assert outbox.execute("SELECT event_id, refused FROM outbox").fetchall() == [
        ("large", "Broker: Message size too large")
    ]
    (state,) = outbox.execute("SELECT waiting, waiting_since, refused FROM outbox_state").fetchall()
    assert state == (0, None, 1)

    outbox.execute("UPDATE outbox SET refused = NULL, value = '510'")
    with relaying(database, stack, "b"):
        eventually(lambda: left(outbox) == 0, "it to be sent after it was put right")


def test_a_topic_that_cannot_be_sent_to_waits_alone_and_says_so(
    outbox: psycopg.Connection[Any],
    database: str,
    stack: Settings,
    new_topic: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    stuck, open_ = sorted([new_topic(), new_topic()])
    add(outbox, stuck, range(3), partition=7)
    add(outbox, open_, range(2500))
    with relaying(database, stack):
        eventually(lambda: left(outbox) == 3, "the other topic to be empty")
        assert len(sent(stack, open_, 2500)) == 2500
    assert f"The outbox waits for topic {stuck}: Local: Unknown partition" in caplog.text
    outbox.execute("UPDATE outbox SET partition = 0")
    with relaying(database, stack, "b"):
        eventually(lambda: left(outbox) == 0, "it to go on")
    assert [value for _, value in sent(stack, stuck, 3)] == ["0", "1", "2"]


def test_the_state_of_the_outbox_is_told_and_what_waits_too_long_is_warned_of(
    outbox: psycopg.Connection[Any],
    database: str,
    stack: Settings,
    new_topic: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    add(outbox, new_topic(), range(3), partition=7)
    outbox.execute("UPDATE outbox SET created_at = now() - INTERVAL '90 seconds'")
    told: list[OutboxState] = []
    with relaying(database, stack, warn_after_s=89.0, tell=told.append):
        eventually(lambda: bool(told), "the state")
        eventually(lambda: "messages wait in the outbox" in caplog.text, "the warning")
    assert (told[0].waiting, told[0].refused) == (3, 0)
    assert told[0].oldest_s >= 90
    assert "3 messages wait in the outbox, the oldest for 9" in caplog.text


def test_a_message_without_a_key_has_none(
    outbox: psycopg.Connection[Any], database: str, stack: Settings, new_topic: Callable[..., str]
) -> None:
    topic = new_topic()
    outbox.execute(ADD, ("keyless", topic, 0, None, b"v"))
    with relaying(database, stack):
        eventually(lambda: left(outbox) == 0, "it to be sent")
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": topic})
    consumer.assign([TopicPartition(topic, 0, 0)])
    (message,) = consumer.consume(1, 30)
    assert (message.key(), message.value()) == (None, b"v")
    consumer.close()
