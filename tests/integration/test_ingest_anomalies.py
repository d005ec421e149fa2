"""Workers tell of episodes when they begin and when they end, whoever is killed in between."""

from __future__ import annotations

import signal
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from jobs.verify.log import Log
from jobs.verify.verify import verify
from schemas.anomaly import decode_anomaly
from schemas.encode import encode_reading
from streams.failpoints import VARIABLE, Point
from streams.worker import pipeline_of
from tests.integration.ingest import Ingest, MakeIngest
from tests.waiting import eventually
from tests.workers import save_often

pytestmark = pytest.mark.stack

START_US = 1_790_000_000_000_000
SECONDS = 500
SPIKES = {150: 30.0, 152: 60.0, 260: -80.0, 410: 90.0}
DETECT = {"STREAMGAUGE_DETECT": "true"}


def send(run: Ingest, begin: int, end: int) -> None:
    """Send a reading of each of some seconds, as it would be sent live."""
    noise = np.random.default_rng(4).normal(size=SECONDS).tolist()
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    for second in range(begin, end):
        message = encode_reading(
            source="pump",
            metric="rpm",
            time_us=START_US + second * 1_000_000,
            value=SPIKES.get(second, noise[second]),
        )
        stamp_ms = START_US // 1000 + second * 1000
        producer.produce(run.topic, message, b"gw", partition=0, timestamp=stamp_ms)
    assert producer.flush(30) == 0


def told(run: Ingest) -> list[tuple[str, dict[str, Any]]]:
    """Return id and content of what was told, each once."""
    consumer = Consumer(
        {"bootstrap.servers": run.settings.kafka, "group.id": run.topic, "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(run.anomalies_topic, 0, 0)])
    found = {}
    while (message := consumer.poll(30)) and not message.error():
        headers: Any = message.headers()
        value = message.value()
        assert isinstance(value, bytes)
        found[dict(headers)["event_id"].decode()] = decode_anomaly(value)
    consumer.close()
    return list(found.items())


def second_of(time: datetime) -> int:
    return round(time.timestamp()) - START_US // 1_000_000


def test_episodes_are_what_they_would_be_had_nobody_been_killed(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1, message_timestamp_type="CreateTime")
    worker = run.worker(save_often, **DETECT)
    send(run, 0, 200)
    run.drained()
    worker.kill()
    send(run, 200, 350)
    worker = run.worker(save_often, **DETECT, **{VARIABLE: f"{Point.BEFORE_COMMIT}:kill:1"})
    assert worker.exit_code() == -signal.SIGKILL
    run.worker(save_often, **DETECT)
    send(run, 350, SECONDS)
    run.drained()
    eventually(lambda: run.one("SELECT count(*) FROM outbox") == 0, "all to be told")

    report = verify(run.dsn, Log(run.settings.kafka, run.topic), run.topic, pipeline_of(run.settings))
    assert not any(report.faults.values()), report.examples
    stored = run.session.execute(
        "SELECT started_at, ended_at, state, episode::text, revision FROM anomalies ORDER BY started_at"
    ).fetchall()
    assert [(second_of(begin), state) for begin, _, state, *_ in stored] == [
        (150, "over"),
        (260, "over"),
        (410, "over"),
    ]
    assert [second_of(end) for _, end, *_ in stored] == [152, 260, 410]
    assert run.one("SELECT count(*) FROM detector_states") == 1
    assert run.one("SELECT began_at = '-infinity' FROM detection")
    saved_to = run.one("SELECT saved_to FROM detection")
    held = run.one("SELECT kept_from FROM retention_holds WHERE starts_with(reason, 'detectors of ')")
    assert held == saved_to.replace(hour=0, minute=0, second=0, microsecond=0)
    by_id = dict(told(run))
    assert set(by_id) == {f"{key}/{number}" for *_, key, last in stored for number in range(last + 1)}
    for started_at, ended_at, state, episode, revision in stored:
        last = by_id[f"{episode}/{revision}"]
        assert (last["start"], last["end"], last["state"]) == (started_at, ended_at, state)

    run.session.execute("UPDATE anomalies SET score = score / 2 WHERE started_at = %s", (stored[0][0],))
    report = verify(run.dsn, Log(run.settings.kafka, run.topic), run.topic, pipeline_of(run.settings))
    assert {fault: count for fault, count in report.faults.items() if count} == {"misdetected": 1}

    run.session.execute("DELETE FROM anomalies WHERE started_at = %s", (stored[0][0],))
    run.session.execute("UPDATE raw_retention SET kept_from = %s", (saved_to.date() + timedelta(days=1),))
    report = verify(run.dsn, Log(run.settings.kafka, run.topic), run.topic, pipeline_of(run.settings))
    run.session.execute("UPDATE raw_retention SET kept_from = '-infinity'")
    assert not any(report.faults.values()), report.examples


def test_who_switches_detectors_off_and_on_has_them_begin_anew(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1, message_timestamp_type="CreateTime")
    worker = run.worker(**DETECT)
    send(run, 0, 170)
    run.drained()
    assert run.session.execute("SELECT state FROM anomalies").fetchall() == [("open",)]
    assert worker.stop() == 0
    worker = run.worker(STREAMGAUGE_DETECT="false")
    send(run, 170, 300)
    run.drained()
    assert run.session.execute("SELECT count(*) FROM detection").fetchall() == [(0,)]
    assert worker.stop() == 0
    worker = run.worker(**DETECT)
    send(run, 300, SECONDS)
    run.drained()
    assert worker.said("Detectors begin anew")
    rows = run.session.execute("SELECT started_at, state FROM anomalies ORDER BY started_at").fetchall()
    assert [(second_of(begin), state) for begin, state in rows] == [(150, "forgotten"), (410, "over")]
    report = verify(run.dsn, Log(run.settings.kafka, run.topic), run.topic, pipeline_of(run.settings))
    assert not any(report.faults.values())
