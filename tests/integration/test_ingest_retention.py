"""Workers go on while readings are given up, dropped and restored, and all of it adds up."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka import Producer

from jobs.archive.manifest import Choice, list_files
from jobs.archive.restore import restore
from jobs.archive.target import Target
from jobs.retention.policies import Policy, set_policy
from jobs.retention.run import open_session
from jobs.retention.run import run as run_retention
from jobs.verify.log import Log
from jobs.verify.verify import verify
from schemas.encode import encode_reading
from sinks.timescale.times import timestamp
from streams.core.levels import DAY_US
from streams.core.rollup import begin_us
from streams.worker import pipeline_of
from tests.integration.ingest import Ingest, MakeIngest

pytestmark = pytest.mark.stack

START_US = begin_us(1_790_000_000_000_000, DAY_US)
NOW = timestamp(START_US + 3 * DAY_US) + timedelta(hours=1)


def send(run: Ingest, metric: str, day: int, second: int, value: float, at_day: int | None = None) -> None:
    """Send a reading of a second of a day; it arrives then, or at a later day."""
    time_us = START_US + day * DAY_US + second * 1_000_000
    stamp_us = time_us if at_day is None else START_US + at_day * DAY_US + second * 1_000_000
    message = encode_reading(source="pump", metric=metric, time_us=time_us, value=value)
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    producer.produce(run.topic, message, b"gw", partition=0, timestamp=stamp_us // 1000)
    assert producer.flush(30) == 0


def outcomes(run: Ingest) -> tuple[int, ...]:
    run.drained()
    (row,) = run.session.execute("SELECT written, duplicates, dead_letters FROM progress").fetchall()
    return tuple(map(int, row))


def assert_verified(run: Ingest) -> None:
    report = verify(run.dsn, Log(run.settings.kafka, run.topic), run.topic, pipeline_of(run.settings))
    assert not any(report.faults.values()), report.examples


def test_a_worker_goes_on_while_some_of_its_readings_are_given_up_dropped_and_restored(
    make_ingest: MakeIngest, tmp_path: Path
) -> None:
    run = make_ingest(partitions=1, message_timestamp_type="CreateTime")
    run.worker()
    for day in range(4):
        for second in (10, 20, 70):
            send(run, "rpm", day, second, float(second))
            send(run, "debug", day, second, float(second))
    assert outcomes(run) == (24, 0, 0)
    target, session = Target(str(tmp_path / "archive")), run.session
    with open_session(run.dsn) as owner:
        set_policy(owner, Policy("*", "debug", 1, None))
        report = run_retention(owner, target, NOW)
    assert sum(each.dropped for each in report.chunks) == 6
    assert session.execute("SELECT count(*) FROM readings").fetchone() == (18,)

    send(run, "debug", 0, 10, 10.0, at_day=3)
    send(run, "rpm", 0, 10, 10.0, at_day=3)
    assert outcomes(run) == (24, 1, 1), "dropped, and so not to be told from a repeat; and still there"
    assert_verified(run)

    with open_session(run.dsn) as owner:
        for file in list_files(owner, Choice()):
            assert restore(owner, target, file, NOW + timedelta(days=7)).restored == 3
    send(run, "debug", 0, 20, 20.0, at_day=3)
    send(run, "debug", 0, 70, 71.0, at_day=3)
    send(run, "debug", 3, 300, 1.0)
    assert outcomes(run) == (25, 2, 2), "restored readings are known by series, time and value"
    assert session.execute("SELECT count(*), count(DISTINCT (series_id, ts)) FROM readings").fetchone() == (
        25,
        25,
    )
    assert_verified(run)
