"""What a good engineer writes in an afternoon: confluent-kafka, orjson, numpy, COPY; well tuned."""

from __future__ import annotations

import time

import orjson
from confluent_kafka import Consumer
from table import GROUP, KAFKA, ROWS, TOPIC, Table

SECONDS = 0.1


def main() -> None:
    """Read and store until killed; offsets are committed after the rows."""
    consumer = Consumer(
        {
            "bootstrap.servers": KAFKA,
            "group.id": GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 5,
            "session.timeout.ms": 6000,
        }
    )
    consumer.subscribe([TOPIC])
    table = Table()
    readings, due_s = [], time.monotonic() + SECONDS
    while True:
        values = [message.value() for message in consumer.consume(5_000, 0.05) if message.error() is None]
        decoded = orjson.loads(b"[" + b",".join(values) + b"]")
        readings += (
            [each for some in decoded for each in some]
            if decoded and isinstance(decoded[0], list)
            else decoded
        )
        if readings and (len(readings) >= ROWS or time.monotonic() >= due_s):
            table.store(readings)
            consumer.commit(asynchronous=False)
            readings, due_s = [], time.monotonic() + SECONDS


if __name__ == "__main__":
    main()
