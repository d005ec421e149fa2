"""A producer accounts for what it was given also when there is no broker."""

from __future__ import annotations

import pytest

from jobs.producer import Message, ReadingsProducer
from streams.errors import ServiceUnavailable

NOWHERE = "127.0.0.1:1"


def test_what_is_not_delivered_in_time_counts_as_failed() -> None:
    producer = ReadingsProducer(NOWHERE, "any", timeout_s=0.2)
    producer.send(Message(b"k", b"v", 10))
    producer.send(Message(b"k", b"v", 5))

    with pytest.raises(ServiceUnavailable, match="Kafka did not take 15 readings"):
        producer.finish(30.0)
    deliveries = producer.deliveries
    assert (deliveries.accepted, deliveries.delivered, deliveries.failed, deliveries.pending) == (
        15,
        0,
        15,
        0,
    )


def test_what_is_still_waiting_is_told() -> None:
    producer = ReadingsProducer(NOWHERE, "any", timeout_s=None)
    producer.send(Message(b"k", b"v", 10))

    with pytest.raises(ServiceUnavailable, match=r"has not acknowledged 10 readings after 0\.1 s"):
        producer.finish(0.1)


def test_a_full_buffer_takes_nothing_more() -> None:
    producer = ReadingsProducer(NOWHERE, "any", timeout_s=None, max_messages=2)

    assert [producer.offer(Message(b"k", b"v", 1)) for _ in range(3)] == [True, True, False]
    assert producer.deliveries.accepted == 2


def test_sending_ends_once_a_message_was_given_up() -> None:
    producer = ReadingsProducer(NOWHERE, "any", timeout_s=0.2, max_messages=1)
    producer.send(Message(b"k", b"v", 1))

    with pytest.raises(ServiceUnavailable, match="did not take"):
        for _ in range(100):
            producer.send(Message(b"k", b"v", 1))


def test_a_broker_that_does_not_answer_is_told_at_once() -> None:
    with pytest.raises(ServiceUnavailable, match="Kafka does not answer"):
        ReadingsProducer(NOWHERE, "any").require_topic()
