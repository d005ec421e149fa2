"""Workers close buckets as they store, and compute again what something late fell into."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from jobs.verify.log import Log
from jobs.verify.verify import verify
from schemas.encode import encode_reading
from streams.core.rollup import MINUTE_US, begin_us
from streams.worker import pipeline_of
from tests.integration.ingest import Ingest, MakeIngest
from tests.waiting import eventually

pytestmark = pytest.mark.stack

START_US = begin_us(1_790_000_000_000_000, 60 * MINUTE_US)


def send(run: Ingest, second: int, value: float, at_second: int | None = None) -> None:
    """Send a reading of a second; it arrives at that second, or later."""
    message = encode_reading(source="pump", metric="rpm", time_us=START_US + second * 1_000_000, value=value)
    stamp_ms = START_US // 1000 + (second if at_second is None else at_second) * 1000
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    producer.produce(run.topic, message, b"gw", partition=0, timestamp=stamp_ms)
    assert producer.flush(30) == 0


def test_a_late_reading_is_in_the_rollups_soon_and_another_worker_goes_on(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1, message_timestamp_type="CreateTime")
    worker = run.worker()
    for second in range(0, 150, 10):
        send(run, second, float(second))
    run.drained()
    assert run.session.execute(
        "SELECT readings, sum, revision FROM rollup_closed_1m ORDER BY bucket"
    ).fetchall() == [(6, 150.0, 0), (6, 510.0, 0)]

    send(run, 5, 1000.0, at_second=150)
    run.drained()
    revised = "SELECT sum, revision FROM rollup_closed_1m WHERE revision > 0"
    eventually(lambda: run.session.execute(revised).fetchall() == [(1150.0, 1)], "the revision")
    worker.kill()
    run.worker()
    for second in range(160, 1000, 40):
        send(run, second, 1.0)
    run.drained()

    quarter = "SELECT readings FROM rollup_closed_15m"
    eventually(lambda: run.session.execute(quarter).fetchall() == [(35,)], "the quarter of an hour")
    report = verify(run.dsn, Log(run.settings.kafka, run.topic), run.topic, pipeline_of(run.settings))
    assert not any(report.faults.values())
