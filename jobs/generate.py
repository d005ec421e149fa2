"""Synthetic load: numbered readings of many series, unique in (series, event time) across a run.

Assets of up to ten metrics each belong to producers in turn. A block is what one producer sends of
one asset at once; it travels as one batch message or as that many single ones. Everything follows
from the :class:`Load`, so the same one gives the same bytes again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import orjson

from jobs.pace import Pace
from jobs.producer import Message, ReadingsProducer
from schemas import encode
from streams.core.batch import Float64

METRICS: tuple[tuple[str, str], ...] = (
    ("temperature", "Cel"),
    ("pressure", "bar"),
    ("flow", "m3/h"),
    ("vibration", "mm/s"),
    ("speed", "{rpm}"),
    ("current", "A"),
    ("voltage", "V"),
    ("power", "kW"),
    ("humidity", "%"),
    ("level", "m"),
)
"""Metric names and UCUM units of an asset."""

_POOL = 1 << 16
"""Values are drawn once and used in turn: drawing anew would cost more than encoding."""


class Encoding(StrEnum):
    """How readings are put into messages."""

    BATCH = "batch"
    SINGLE = "single"
    JSON = "json"
    JSON_ARRAY = "json-array"


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to generate. Times in microseconds; ``interval_us`` lies between readings of one series."""

    readings: int
    batch: int
    producers: int
    series: int
    start_us: int
    interval_us: int
    epoch: int
    encoding: Encoding = Encoding.BATCH
    seed: int = 1
    tenant: str = "default"

    @property
    def last_us(self) -> int:
        """Latest event time of the run, give or take one batch."""
        return self.start_us + self.interval_us * (self.readings // self.series)


class Asset(NamedTuple):
    """A source, the producer that sends it, and its metrics with their units."""

    producer: str
    source: str
    metrics: tuple[tuple[str, str], ...]


class Block(NamedTuple):
    """What is sent of one asset at once; the series of its ``instants`` are the asset's metrics."""

    asset: Asset
    first_sequence: int
    instants: encode.Instants
    value: Float64


def assets(load: Load) -> list[Asset]:
    """Return the assets of a load: as many series as asked for, spread over all producers.

    >>> load = Load(readings=1, batch=1, producers=2, series=5, start_us=0, interval_us=1, epoch=1)
    >>> [(asset.producer, asset.source, len(asset.metrics)) for asset in assets(load)]
    [('generator-000', 'asset-00000', 3), ('generator-001', 'asset-00001', 2)]
    """
    width = min(len(METRICS), -(-load.series // load.producers))
    return [
        Asset(
            producer=f"generator-{number % load.producers:03d}",
            source=f"asset-{number:05d}",
            metrics=METRICS[: min(width, load.series - start)],
        )
        for number, start in enumerate(range(0, load.series, width))
    ]


def blocks(load: Load) -> Iterator[Block]:
    """Yield the blocks of a load, assets in turn, in the order of each producer's sequence."""
    pool = np.round(np.random.default_rng(load.seed).normal(50.0, 10.0, _POOL + load.batch), 3)
    fleet = assets(load)
    full_width = len(fleet[0].metrics)
    next_sequence = dict.fromkeys((asset.producer for asset in fleet), 0)
    next_of_asset = [0] * len(fleet)
    # All assets of one width are sampled at once: what their blocks share is made and encoded once.
    instants = lru_cache(2 * len(METRICS))(partial(_instants, load, full_width))
    left, turn = load.readings, 0
    while left:
        number = turn % len(fleet)
        asset, size, first = fleet[number], min(load.batch, left), next_of_asset[number]
        drawn = turn * load.batch % _POOL
        yield Block(
            asset=asset,
            first_sequence=next_sequence[asset.producer],
            instants=instants(len(asset.metrics), first, size),
            value=pool[drawn : drawn + size],
        )
        next_of_asset[number] += size
        next_sequence[asset.producer] += size
        left -= size
        turn += 1


def _instants(load: Load, full_width: int, width: int, first: int, size: int) -> encode.Instants:
    nth = np.arange(first, first + size, dtype=np.int64)
    # An asset of fewer metrics is sampled more often, so all assets cover the same time.
    interval_us = load.interval_us * width // full_width
    return encode.Instants(nth % width, load.start_us + nth // width * interval_us)


def _batch_messages(load: Load) -> Iterator[Message]:
    encoders = {
        asset.source: encode.BatchEncoder(
            asset.producer,
            [encode.SeriesRef(asset.source, metric, {"unit": unit}) for metric, unit in asset.metrics],
            tenant=load.tenant,
        )
        for asset in assets(load)
    }
    for block in blocks(load):
        value = encoders[block.asset.source].encode_at(
            block.instants, block.value, epoch=load.epoch, first_sequence=block.first_sequence
        )
        yield Message(block.asset.producer.encode(), value, len(block.value))


def _readings(block: Block, load: Load) -> Iterator[dict[str, Any]]:
    instants = block.instants
    columns = zip(
        instants.series_index.tolist(), instants.time_us.tolist(), block.value.tolist(), strict=True
    )
    for sequence, (series, time_us, value) in enumerate(columns, block.first_sequence):
        metric, unit = block.asset.metrics[series]
        yield {
            "tenant": load.tenant,
            "source": block.asset.source,
            "metric": metric,
            "attributes": {"unit": unit},
            "producer": block.asset.producer,
            "epoch": load.epoch,
            "sequence": sequence,
            "time_us": time_us,
            "value": value,
        }


def _documents(block: Block, load: Load) -> list[dict[str, Any]]:
    return [encode.reading_document(**reading) for reading in _readings(block, load)]


def messages(load: Load) -> Iterator[Message]:
    """Yield the Kafka messages of a load in order."""
    if load.encoding is Encoding.BATCH:
        yield from _batch_messages(load)
        return
    for block in blocks(load):
        key = block.asset.producer.encode()
        match load.encoding:
            case Encoding.SINGLE:
                values = (encode.encode_reading(**reading) for reading in _readings(block, load))
                yield from (Message(key, value, 1) for value in values)
            case Encoding.JSON:
                yield from (Message(key, orjson.dumps(each), 1) for each in _documents(block, load))
            case Encoding.JSON_ARRAY:
                yield Message(key, orjson.dumps(_documents(block, load)), len(block.value))


@dataclass(frozen=True, slots=True)
class Sent:
    """What a run sent and how long it took, delivery included. Times in microseconds since 1970."""

    readings: int
    messages: int
    bytes: int
    seconds: float
    readings_per_s: float
    first_time_us: int
    last_time_us: int
    epoch: int


def send(load: Load, producer: ReadingsProducer, rate: float, flush_s: float = 60.0) -> Sent:
    """Send a load at ``rate`` readings a second (0: as fast as it goes) and wait for its delivery.

    Raises :class:`~streams.errors.ServiceUnavailable` when not all of it was delivered.
    """
    began = time.perf_counter()
    pace = Pace(rate, clock=time.perf_counter, wait=producer.poll)
    for message in messages(load):
        pace.take(message.readings)
        producer.send(message)
    producer.finish(flush_s)
    seconds = time.perf_counter() - began
    deliveries = producer.deliveries
    return Sent(
        readings=deliveries.delivered,
        messages=deliveries.messages,
        bytes=deliveries.bytes,
        seconds=round(seconds, 3),
        readings_per_s=round(deliveries.delivered / seconds),
        first_time_us=load.start_us,
        last_time_us=load.last_us,
        epoch=load.epoch,
    )
