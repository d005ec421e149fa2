"""The relay: nothing of the outbox is lost, order is kept, repeats carry the same id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from sinks.outbox import OutboxRelay
from streams.settings import Settings
from tests.databases import as_writer
from tests.integration.ingest import eventually

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


def left(outbox: psycopg.Connection[Any]) -> int:
    ((count,),) = outbox.execute("SELECT count(*) FROM outbox").fetchall()
    return int(count)


def sent(stack: Settings, topic: str, at_least: int) -> list[tuple[str, str]]:
    """Return event id and value of what partition 0 of ``topic`` holds."""
    consumer = Consumer({"bootstrap.servers": stack.kafka, "group.id": topic})
    consumer.assign([TopicPartition(topic, 0, 0)])
    messages: list[tuple[str, str]] = []
    while len(messages) < at_least:
        got = consumer.consume(100, 30)
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
