"""Kafka tells a topic from another one that had its name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from streams.errors import ServiceUnavailable
from streams.settings import Settings
from streams.topic_ids import KafkaTopicIds

pytestmark = pytest.mark.stack


def test_each_topic_has_an_id_of_its_own(stack: Settings, new_topic: Callable[..., str]) -> None:
    ask = KafkaTopicIds(stack.kafka).ask
    one, other = new_topic(), new_topic()
    assert ask(one) == ask(one)
    assert len({ask(one), ask(other), None}) == 3
    assert asyncio.run(KafkaTopicIds(stack.kafka)(one)) == ask(one)


def test_a_topic_that_is_not_there_has_none(stack: Settings) -> None:
    assert KafkaTopicIds(stack.kafka).ask("no.such.topic") is None


def test_while_kafka_is_away_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.topic_ids.TIMEOUT_S", 0.5)
    with pytest.raises(ServiceUnavailable):
        KafkaTopicIds("127.0.0.1:9").ask("any")
