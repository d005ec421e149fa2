"""Each failpoint is on the way of a real worker, so that a fault which is set there does happen."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from schemas.encode import encode_reading
from streams.failpoints import VARIABLE, Point
from tests.integration.ingest import Ingest, MakeIngest, load
from tests.waiting import eventually

pytestmark = pytest.mark.stack
START_US = 1_790_000_000_000_000


def send(run: Ingest, partition: int) -> None:
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    reading = encode_reading(source="pump", metric="rpm", time_us=START_US + partition, value=1.0)
    producer.produce(run.topic, reading, b"gw", partition=partition)
    assert producer.flush(30) == 0


def test_a_worker_passes_every_point_and_stores_all_the_same(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=2)
    worker = run.worker(**{VARIABLE: ",".join(f"{point}:say" for point in Point)})
    run.publish(load(10_000))
    send(run, partition=0)
    run.drained()
    send(run, partition=1)  # whose series is at home on partition 0, so it goes by the outbox
    eventually(lambda: run.written() == 10_002, "the forwarded reading to come home")
    passed = {point: f"Failpoint {point}: say" for point in Point}
    eventually(lambda: all(map(worker.said, passed.values())), "the worker at every point")
    run.assert_exactly(10_002)


def test_a_point_that_does_not_exist_ends_the_worker_with_a_sentence(make_ingest: MakeIngest) -> None:
    worker = make_ingest(partitions=1).worker(**{VARIABLE: "after_lunch:kill"})
    assert worker.exit_code() == 2
    assert worker.said("is not POINT:ACTION")
