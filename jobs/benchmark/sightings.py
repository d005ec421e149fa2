"""Sees marked readings where they come out: in the table, and as dead letters on their topic."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from jobs.benchmark.openloop import (
    MARKER_EVERY_S,
    MARKER_METRIC,
    MARKERS,
    REFUSED_EVERY_S,
    marker_source,
    refused_source,
)
from schemas.dead_letter import decode_dead_letter
from streams.settings import Settings

_MARKERS = "SELECT series_id FROM series WHERE metric = %s AND source = ANY(%s)"
_ARRIVED = """
    SELECT series_id, extract(epoch FROM ts)::float8 FROM readings
    WHERE series_id = ANY(%s) AND ts > to_timestamp(%s) ORDER BY ts
"""


class Stored:
    """Looks for markers as an analyst would, and notes when each is first seen."""

    def __init__(self, session: psycopg.Connection[tuple[Any, ...]], from_s: float) -> None:
        self._session = session
        names = [marker_source(number) for number in range(MARKERS)]
        self._seen_s = {
            series_id: from_s for (series_id,) in session.execute(_MARKERS, (MARKER_METRIC, names))
        }
        self.latencies_s: list[float] = []

    def all_until(self, end_s: float) -> bool:
        """Tell whether every marker due before ``end_s`` was seen."""
        return _all_until(end_s, self._seen_s, MARKER_EVERY_S)

    def look(self) -> None:
        """Look once. A marker counts from the time when it was due to the time when the answer is here."""
        asked = list(self._seen_s), min(self._seen_s.values())
        arrived = self._session.execute(_ARRIVED, asked, prepare=True).fetchall()
        now_s = time.time()
        for series_id, due_s in arrived:
            if due_s > self._seen_s[series_id]:
                self._seen_s[series_id] = due_s
                self.latencies_s.append(now_s - due_s)


class Derived:
    """Reads the dead letters of refused readings as they come, and notes when that is."""

    def __init__(self, consumer: Consumer, from_s: float) -> None:
        self._consumer = consumer
        self._from_s = from_s
        self._seen_s = dict.fromkeys(map(refused_source, range(MARKERS)), from_s)
        self.latencies_s: list[float] = []

    def all_until(self, end_s: float) -> bool:
        """Tell whether the dead letter of every reading due before ``end_s`` was seen."""
        return _all_until(end_s, self._seen_s, REFUSED_EVERY_S)

    def wait(self, at_most_s: float) -> None:
        """Wait for the next and take all that are there. Each counts from when it was due to its arrival."""
        message = self._consumer.poll(at_most_s)
        while message is not None:
            now_s = time.time()
            if (error := message.error()) is not None:
                raise KafkaException(error)
            source, due_s = refusal(message.value() or b"")
            if due_s > self._from_s:
                self._seen_s[source] = max(due_s, self._seen_s[source])
                self.latencies_s.append(now_s - due_s)
            message = self._consumer.poll(0)


def _all_until(end_s: float, seen_s: Mapping[Any, float], every_s: float) -> bool:
    """Tell whether the last of each name was seen, and so all before it; names take turns."""
    return min(seen_s.values()) > end_s - (MARKERS + 0.5) * every_s


def refusal(dead_letter: bytes) -> tuple[str, float]:
    """Return the source of the reading in a dead letter, and when it was due, in seconds since 1970."""
    reading = orjson.loads(decode_dead_letter(dead_letter)["payload"])
    return reading["source"], reading["time"] / 1e6


@contextmanager
def reading_all_of(topic: str) -> Iterator[Consumer]:
    """Yield a consumer that begins at the beginning of a topic of one partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": Settings().kafka,
            "group.id": topic,
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    try:
        yield consumer
    finally:
        consumer.close()
