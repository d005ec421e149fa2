"""Workers close buckets as they store, and compute again what something late fell into."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from psycopg.sql import SQL, Identifier

from jobs.verify.log import Log
from jobs.verify.verify import verify
from schemas.encode import encode_reading
from schemas.rollup import decode_rollup
from sinks.timescale.levels import apply_levels
from sinks.timescale.session import Connection
from streams.core.levels import MINUTE_US, parse_levels
from streams.core.rollup import begin_us
from streams.failpoints import VARIABLE, Point
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


def assert_rolled_up(run: Ingest, **rows: int) -> None:
    """Wait until all is stored and computed; levels have so many closed buckets, and all are exact."""
    run.drained()
    eventually(lambda: bool(run.one("SELECT waiting = 0 FROM rollup_state")), "what is dirty to be computed")
    for level, count in rows.items():
        table = Identifier(f"rollup_closed_{level.lstrip('_')}")
        assert run.session.execute(SQL("SELECT count(*) FROM {}").format(table)).fetchone() == (count,)
    report = verify(run.dsn, Log(run.settings.kafka, run.topic), run.topic, pipeline_of(run.settings))
    assert not any(report.faults.values())


def last_told(run: Ingest) -> dict[bytes, dict[str, Any]]:
    """Return what a compacted topic keeps in the end: the last message of each key."""
    consumer = Consumer(
        {"bootstrap.servers": run.settings.kafka, "group.id": run.rollups_topic, "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(run.rollups_topic, 0, 0)])
    last = {}
    while (message := consumer.poll(30)) and not message.error():
        key, value = message.key(), message.value()
        assert isinstance(key, bytes)
        assert isinstance(value, bytes)
        last[key] = decode_rollup(value)
    assert message is not None, "the end of the topic was not reached"
    consumer.close()
    return last


STORED = """
    SELECT series_id, %s, bucket, revision, readings, sum
    FROM rollup_closed_{0} WHERE readings > bad
"""


def is_at_rest(run: Ingest) -> bool:
    """Tell whether nothing waits to be computed again that is closed, nor to be sent."""
    return bool(
        run.one(
            "SELECT NOT EXISTS (SELECT FROM outbox) AND NOT EXISTS ("
            " SELECT FROM dirty_buckets AS d JOIN rollup_marks AS m USING (series_id)"
            " WHERE d.bucket + make_interval(secs => greatest(d.width_s, 60)) <= m.released_to)"
        )
    )


def test_whoever_reads_the_topic_ends_with_the_last_revision_of_each_bucket(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1, message_timestamp_type="CreateTime")
    all_levels = {"STREAMGAUGE_ROLLUPS_TOLD": "1m,15m,1h,1d"}
    worker = run.worker(**all_levels, **{VARIABLE: f"{Point.BEFORE_MARK}:kill:1"})
    for second in range(0, 4000, 50):
        send(run, second, float(second))
    assert worker.exit_code() == -signal.SIGKILL
    worker = run.worker(**all_levels)
    run.drained()
    eventually(lambda: is_at_rest(run), "all to be told")
    assert {told["revision"] for told in last_told(run).values()} == {0}

    for second in (5, 65, 1805):
        send(run, second, 1000.0, at_second=4000)
    run.drained()
    worker.kill()
    run.worker(**all_levels)
    eventually(lambda: is_at_rest(run), "what was late to be computed and told")

    stored = {
        row
        for level in ("1m", "15m", "1h", "1d")
        for row in run.session.execute(SQL(STORED).format(SQL(level)), (level,)).fetchall()
    }
    told = last_told(run).values()
    fields = "series_id", "level", "time", "revision", "readings"
    assert {(*(row[name] for name in fields), row["values"]["sum"]) for row in told} == stored
    assert {row["level"] for row in told if row["revision"]} == {"1m", "15m", "1h"}


def test_levels_change_under_a_worker_and_for_the_one_that_follows(
    writer: Connection, make_ingest: MakeIngest
) -> None:
    levels = "10s,1m,5m,15m,1h,1d"
    run = make_ingest(partitions=1, message_timestamp_type="CreateTime")
    worker = run.worker()
    for second in range(0, 300, 20):
        send(run, second, float(second))
    run.drained()
    assert "and not of 10s" in apply_levels(run.dsn, parse_levels(levels))
    for second in range(300, 780, 20):
        send(run, second, float(second))
    send(run, 45, 1000.0, at_second=780)
    assert_rolled_up(run, _10s=38, _1m=12, _5m=2)
    assert worker.stop() == 0

    behind = run.worker()
    eventually(lambda: behind.said("keeps rollups of 10s, 1m, 5m, 15m"), "its words about the levels")
    assert behind.stop() == 0
    run.worker(STREAMGAUGE_ROLLUP_LEVELS=levels)
    for second in range(780, 1280, 20):
        send(run, second, float(second))
    assert_rolled_up(run, _10s=62, _1m=20, _5m=4, _15m=1)
