"""``streamgauge top``: what is stored, read back by SQL, and how the pipeline does."""

from __future__ import annotations

import json
import math
import os
import pty
import select
import subprocess
import time
from collections.abc import Callable

import pytest

from jobs.producer import Message, ReadingsProducer
from schemas.encode import SeriesRef, encode_batch
from streams.settings import Settings
from tests.databases import as_reader
from tests.integration.ingest import Ingest
from tests.integration.records import PROGRAM, environment, run
from tests.waiting import eventually

pytestmark = pytest.mark.stack

MakeIngest = Callable[..., Ingest]
VALUES = [4.0, 1.0, 7.0, 2.0]


def _send(ingest: Ingest, source: str) -> None:
    """Send four readings of the last seconds, and one that is bad and has no value."""
    now_us = time.time_ns() // 1000
    payload = encode_batch(
        producer="p",
        series=[SeriesRef(source, "level", {"unit": "m"})],
        series_index=[0] * 5,
        time_us=[now_us - 1_000_000 * (5 - n) for n in range(5)],
        value=[*VALUES, math.nan],
        quality=[0, 0, 0, 0, 2],
    )
    producer = ReadingsProducer(ingest.settings.kafka, ingest.topic)
    producer.send(Message(b"p", payload, 5))
    producer.finish(30)


def _settings(ingest: Ingest) -> dict[str, str]:
    return {"database_url": ingest.dsn, "reader_url": as_reader(ingest.dsn), "group": ingest.topic}


def test_a_sample_says_what_is_stored_and_how_the_pipeline_does(make_ingest: MakeIngest) -> None:
    ingest = make_ingest(2)
    worker = ingest.worker()
    _send(ingest, "tank-1")
    _send(ingest, "tank-2")
    ingest.wait_written(10)

    done = run("top", "--once", "--json", "--filter", "tank-1", topic=ingest.topic, **_settings(ingest))

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    (metric,) = told["metrics"]
    assert (metric["source"], metric["metric"], metric["unit"]) == ("tank-1", "level", "m")
    assert (metric["now"], metric["min"], metric["avg"], metric["max"]) == (2.0, 1.0, 3.5, 7.0)
    pipeline = told["pipeline"]
    assert (pipeline["written"], pipeline["dead_letters"], pipeline["lag"]) == (10, 0, 0)
    assert worker.alive


def test_workers_show_their_latency_and_other_pipelines_are_not_mixed_in(make_ingest: MakeIngest) -> None:
    ingest = make_ingest(1)
    ingest.worker()
    _send(ingest, "tank-1")
    ingest.wait_written(5)

    def seen(**settings: str) -> dict[str, object]:
        done = run("top", "--once", "--json", topic=ingest.topic, **{**_settings(ingest), **settings})
        pipeline = json.loads(done.stdout)["pipeline"]
        assert isinstance(pipeline, dict)
        return pipeline

    eventually(lambda: seen()["latency_p50_ms"] is not None, "a worker's status")
    assert seen(group="another")["workers"] == []


def test_without_workers_redis_and_kafka_the_database_is_still_shown(make_ingest: MakeIngest) -> None:
    ingest = make_ingest(1)
    worker = ingest.worker()
    _send(ingest, "tank-1")
    ingest.wait_written(5)
    worker.kill()

    away = {"redis_url": "redis://127.0.0.1:1/0", "kafka": "127.0.0.1:1"}
    done = run("top", "--once", topic=ingest.topic, **{**_settings(ingest), **away})

    assert done.returncode == 0, done.stderr
    assert "Kafka does not answer" in done.stdout
    assert "p50/p99 –/– ms | lag – | written 5" in done.stdout
    assert "tank-1 level 2m (1 min avg 3.50m)" in done.stdout


def test_a_database_that_is_away_ends_with_3(stack: Settings) -> None:
    gone = "postgresql://nobody@127.0.0.1:1/none"
    done = run("top", "--once", topic="any", database_url=gone)

    assert done.returncode == 3
    assert done.stderr.startswith("error: TimescaleDB")


def test_on_a_terminal_it_draws_until_it_is_stopped(make_ingest: MakeIngest) -> None:
    ingest = make_ingest(1)
    ingest.worker()
    _send(ingest, "tank-1")
    ingest.wait_written(5)

    ours, theirs = pty.openpty()
    program = subprocess.Popen(
        [*PROGRAM, "top"],
        env={
            **environment(ingest.topic, **_settings(ingest)),
            "TERM": "xterm-256color",
            "COLUMNS": "130",
            "LINES": "30",
        },
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    drawn = b""
    while b"tank-1" not in drawn:
        assert select.select([ours], [], [], 60)[0], "nothing was drawn"
        drawn += os.read(ours, 65536)
    program.terminate()
    while select.select([ours], [], [], 60)[0]:
        try:
            drawn += os.read(ours, 65536)
        except OSError:  # the terminal is closed: the program has ended
            break
    os.close(ours)

    assert program.wait(30) == 0
    for words in ("readings/s", "latency", "dead letters", "7 m"):
        assert words in drawn.decode()
    assert "Traceback" not in drawn.decode()
