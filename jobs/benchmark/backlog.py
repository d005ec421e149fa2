"""Readings that wait in Kafka before anybody reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

from jobs.benchmark.dirt import Dirt, dirtied
from jobs.generate import Encoding, Load, messages
from jobs.pace import Pace
from jobs.producer import ReadingsProducer
from jobs.scratch import empty_topic
from jobs.verify.log import Log
from streams.settings import Settings

DAY_S = 86_400
DELIVER_WITHIN_S = 600.0
FILLED_AT = 300_000
"""A backlog is written with so many a second. Watermarks follow the log's clock, which counts seconds:
of a log that was written faster than anything live, workers would hold back more than they have room for."""

CLEAN = Dirt()

_STORED = "SELECT coalesce(sum(next_offset), 0)::bigint FROM pipeline_progress WHERE topic = %s"


class Shape(NamedTuple):
    """What the readings are like: how many series, sent by how many producers, how many in a batch."""

    series: int = 1_000
    producers: int = 100
    batch: int = 100


@dataclass(frozen=True, slots=True)
class Backlog:
    """A topic that holds ``readings`` and gets no more; ``ends`` is where each partition's log ends."""

    topic: str
    readings: int
    ends: dict[int, int]


def load_of(readings: int, encoding: Encoding, shape: Shape) -> Load:
    """Return a load that lies within one day, and so within one chunk of the table, where it fits.

    The readings of one series are a second apart. The day is two days ago.
    """
    now_s = int(time.time())
    return Load(
        readings=readings,
        batch=shape.batch,
        producers=min(shape.producers, shape.series),
        series=shape.series,
        start_us=(now_s // DAY_S - 2) * DAY_S * 1_000_000,
        interval_us=1_000_000,
        epoch=1,
        encoding=encoding,
    )


@contextmanager
def backlog(
    readings: int, encoding: Encoding, shape: Shape, partitions: int, dirt: Dirt = CLEAN
) -> Iterator[Backlog]:
    """Fill a topic of its own, which is deleted afterwards; ``readings`` counts no repeats."""
    with empty_topic("benchmark", partitions) as topic:
        producer = ReadingsProducer(Settings().kafka, topic, timeout_s=DELIVER_WITHIN_S)
        pace = Pace(FILLED_AT, clock=time.perf_counter, wait=producer.poll)
        for message in dirtied(messages(load_of(readings, encoding, shape)), dirt):
            pace.take(message.readings)
            producer.send(message)
        producer.finish(DELIVER_WITHIN_S)
        yield Backlog(topic, producer.deliveries.delivered, log_ends(topic))


def lag_records(session: psycopg.Connection[tuple[Any, ...]], topic: str) -> int:
    """Return how many records of a topic wait to be stored; what comes while it looks counts as waiting."""
    ((stored,),) = session.execute(_STORED, (topic,)).fetchall()
    return int(sum(log_ends(topic).values()) - stored)


def log_ends(topic: str) -> dict[int, int]:
    """Return where the log of each partition ends."""
    return {number: bounds.end for number, bounds in Log(Settings().kafka, topic).bounds().items()}
