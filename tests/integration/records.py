"""Runs the command-line program, and reads back what it put into Kafka."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, NamedTuple

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from jobs.top.health import KafkaEnds
from streams.core.batch import Messages
from streams.core.decode import Decoder
from streams.core.limits import Limits
from streams.core.series import SeriesKey, SeriesTable
from streams.settings import Settings

PROGRAM = (sys.executable, "-m", "jobs.cli")


class Read(NamedTuple):
    """One reading as it lies in Kafka."""

    series: SeriesKey
    time_us: int
    value: float
    quality: int
    producer: str
    epoch: int
    sequence: int


def environment(topic: str, **settings: str) -> dict[str, str]:
    """Return the environment of a program that sends to ``topic``."""
    named = {f"STREAMGAUGE_{name.upper()}": value for name, value in settings.items()}
    return {**os.environ, "STREAMGAUGE_READINGS_TOPIC": topic, **named}


def run(*arguments: str, topic: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    """Run the program to its end; ``given`` is its input."""
    given = settings.pop("given", None)
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(topic, **settings),
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def read_topic(settings: Settings, topic: str) -> list[Read]:
    """Return all readings of a topic, partition by partition; nothing in it is refused."""
    decoder = Decoder(Limits(), SeriesTable())
    found: list[Read] = []
    for records in _records(settings, topic):
        decoded = decoder.decode(
            Messages(
                [value for _, value in records],
                [key for key, _ in records],
                np.arange(len(records)),
                np.zeros(len(records), np.int64),
            )
        )
        assert decoded.rejections == []
        columns = decoded.columns
        found += [
            Read(
                decoder.series.keys[series], time_us, value, quality, decoder.producers[who], epoch, sequence
            )
            for series, time_us, value, quality, who, epoch, sequence in zip(
                columns.series.tolist(),
                columns.time_us.tolist(),
                columns.value.tolist(),
                columns.quality.tolist(),
                columns.producer.tolist(),
                columns.epoch.tolist(),
                columns.sequence.tolist(),
                strict=True,
            )
        ]
    return found


def _records(settings: Settings, topic: str) -> list[list[tuple[bytes | None, bytes | None]]]:
    ends = KafkaEnds(settings.kafka, topic).read()
    assert ends is not None
    found: dict[int, list[tuple[bytes | None, bytes | None]]] = {number: [] for number in ends}
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka, "group.id": f"{topic}-reader", "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in ends])
    while any(len(found[number]) < end.high for number, end in ends.items()):
        for message in consumer.consume(1000, timeout=0.5):
            partition = message.partition()
            assert message.error() is None
            assert partition is not None
            found[partition].append((message.key(), message.value()))
    consumer.close()
    return list(found.values())
