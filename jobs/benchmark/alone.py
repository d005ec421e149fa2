"""Single parts of the pipeline with nothing beside them: fetching from Kafka, and decoding."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import numpy as np
from confluent_kafka import Consumer, TopicPartition

from jobs.benchmark.backlog import Backlog
from jobs.benchmark.cpu import CpuMeter, own_cpu_s, service_pids
from jobs.benchmark.rounds import Run
from jobs.verify.log import Log
from streams.core.batch import Messages
from streams.errors import ServiceUnavailable
from streams.settings import Settings
from streams.worker import pipeline_of

CHUNK_RECORDS = 2_000
CHUNK_BYTES = 1_048_576
"""What one fetch of a worker brings of a partition at most."""

MAX_DECODED = 1_000_000
AT_ONCE = 1_000
SILENCE_S = 10.0


def chunks_of(backlog: Backlog) -> list[Messages]:
    """Read the beginning of a backlog, in chunks as large as a worker gets them."""
    log = Log(Settings().kafka, backlog.topic)
    chunks: list[Messages] = []
    share = min(1.0, MAX_DECODED / backlog.readings)
    for number, end in backlog.ends.items():
        chunks += rechunked(log.read(number, 0, max(1, int(end * share)) if end else 0))
    return chunks


def rechunked(parts: Iterable[Messages]) -> Iterator[Messages]:
    """Cut messages into chunks of ``CHUNK_RECORDS`` or ``CHUNK_BYTES``, whichever comes first."""
    values: list[bytes | None] = []
    keys: list[bytes | None] = []
    offsets: list[int] = []
    stamps_ms: list[int] = []
    size = 0

    def chunk() -> Messages:
        taken = Messages(values[:], keys[:], np.array(offsets, np.int64), np.array(stamps_ms, np.int64))
        for column in (values, keys, offsets, stamps_ms):
            column.clear()
        return taken

    for part in parts:
        stamps = part.timestamps_ms.tolist()
        for value, key, offset, stamp_ms in zip(
            part.values, part.keys, part.offsets.tolist(), stamps, strict=True
        ):
            values.append(value)
            keys.append(key)
            offsets.append(offset)
            stamps_ms.append(stamp_ms)
            size += len(value or b"")
            if len(values) == CHUNK_RECORDS or size >= CHUNK_BYTES:
                yield chunk()
                size = 0
    if values:
        yield chunk()


def decode(chunks: Sequence[Messages]) -> Run:
    """Run chunks through the stages that a worker runs them through before a flush."""
    pipeline = pipeline_of(Settings())
    began_s, cpu_s = time.perf_counter(), own_cpu_s()
    readings = sum(len(pipeline(chunk).decoded.columns) for chunk in chunks)
    seconds = time.perf_counter() - began_s
    return Run(readings, seconds, {"client": own_cpu_s() - cpu_s})


def fetch(backlog: Backlog) -> Run:
    """Read a backlog with librdkafka."""
    meter = CpuMeter(service_pids())
    consumer = Consumer(
        {
            "bootstrap.servers": Settings().kafka,
            "group.id": f"{backlog.topic}.fetch",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 5,
            "log_level": 0,
        }
    )
    with closing(consumer):
        consumer.list_topics(backlog.topic, timeout=SILENCE_S)  # connects before the clock runs
        cpu_s, own_s, began_s = meter.read(), own_cpu_s(), time.perf_counter()
        consumer.assign([TopicPartition(backlog.topic, number, 0) for number in backlog.ends])
        wanted = sum(backlog.ends.values())
        while wanted > 0:
            wanted -= len(_consumed(consumer, min(wanted, AT_ONCE)))
        seconds = time.perf_counter() - began_s
        used = {name: value - cpu_s[name] for name, value in meter.read().items()}
        used["client"] = own_cpu_s() - own_s
    return Run(backlog.readings, seconds, used)


def _consumed(consumer: Consumer, count: int) -> list[object]:
    messages = consumer.consume(count, SILENCE_S)  # waits for all of them
    if not messages:
        raise ServiceUnavailable(f"Kafka sent nothing for {SILENCE_S:.0f} s")
    return list(messages)
