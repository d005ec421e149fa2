"""The same log read into another empty database, cut otherwise and by other workers, gives the same."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from confluent_kafka import Producer

from schemas.encode import encode_reading
from sinks.timescale.migrate import migrate
from tests.databases import empty_database
from tests.integration.ingest import Ingest, MakeIngest
from tests.waiting import eventually

pytestmark = pytest.mark.stack

START_MS = 1_790_000_000_000
PARTITIONS = 2
SECONDS = 120
STEP_S = 4

WHAT_IS_STORED = {
    "readings": "SELECT source, metric, ts, value, quality, late FROM readings_named ORDER BY 1, 2, 3",
    "dead letters": (
        'SELECT partition, "offset", index, reason, detail, payload FROM dead_letters ORDER BY 1, 2, 3'
    ),
    "progress": (
        "SELECT partition, next_offset, log_clock, watermark, released_to, written, dead_letters, duplicates,"
        " corrections, forwarded, late, in_order FROM progress ORDER BY 1"
    ),
    "late readings": "SELECT partition, up_to_s, readings FROM late_readings ORDER BY 1, 2",
    "rollups": (
        "SELECT source, metric, bucket, readings, bad, min, max, first, first_at, last, last_at"
        " FROM rollup_1m ORDER BY 1, 2, 3"
    ),
    "versions": (
        "SELECT source, metric, ts, revision, value, late FROM reading_versions JOIN series USING (series_id)"
        " ORDER BY 1, 2, 3, 4"
    ),
}


class HostileLog:
    """Readings out of order, late, repeated, corrected, in conflict, and garbage."""

    def __init__(self, run: Ingest) -> None:
        self._run = run
        self._chance = random.Random(12)
        self._producer = Producer({"bootstrap.servers": run.settings.kafka, "linger.ms": 50})
        self._sent: list[dict[str, Any]] = []

    def send(self, start_s: int, end_s: int) -> None:
        """Send what comes in the seconds ``[start_s, end_s)``."""
        for second in range(start_s, end_s):
            for _ in range(25):
                reading = self._reading(START_MS + 1000 * second)
                # A series lives on one partition, and each partition has two producers.
                self._producer.produce(
                    self._run.topic,
                    b"garbage" if self._chance.random() < 0.01 else encode_reading(**reading),
                    f"gw-{self._chance.randrange(2)}".encode(),
                    partition=int(reading["source"][-1]) % PARTITIONS,
                    timestamp=START_MS + 1000 * second,
                )
        assert self._producer.flush(30) == 0

    def _reading(self, now_ms: int) -> dict[str, Any]:
        chance = self._chance
        if self._sent and chance.random() < 0.15:
            again = chance.choice(self._sent[-200:])
            other = {"value": chance.random(), "revision": chance.choice([0, 1, 2])}
            return again | (other if chance.random() < 0.6 else {})
        ahead_s = chance.choice([0, 0, 0, -0.3, -2, -9, -15, -70, -4000, 20])
        reading = {
            "source": f"pump-{chance.randrange(4)}",
            "metric": "rpm",
            "time_us": 1000 * now_ms + round(ahead_s * 1_000_000),
            "value": chance.random(),
            "revision": 0,
        }
        self._sent.append(reading)
        return reading


def stored(run: Ingest) -> dict[str, list[Any]]:
    """Return what is stored, once what was late is in the rollups."""
    eventually(lambda: bool(run.one("SELECT waiting = 0 FROM rollup_state")), "what is dirty to be computed")
    return {what: run.session.execute(query.encode()).fetchall() for what, query in WHAT_IS_STORED.items()}


def test_a_log_gives_the_same_however_it_is_read(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=PARTITIONS, message_timestamp_type="CreateTime")
    log = HostileLog(run)
    worker = run.worker()
    run.worker()
    for start_s in range(0, SECONDS, STEP_S):
        log.send(start_s, start_s + STEP_S)
        run.drained()
        if start_s == SECONDS // 2:
            worker.kill()
            run.worker()
    first = stored(run)
    assert {late for *_, late in first["readings"]} == {False, True}
    assert all(len(rows) > 1 for rows in first.values())
    with empty_database() as dsn:
        migrate(dsn)
        with psycopg.connect(dsn, autocommit=True) as session:
            # At once, where the first had it bit by bit.
            again = replace(run, dsn=dsn, session=session)
            again.worker(STREAMGAUGE_GROUP=f"{run.topic}-again", STREAMGAUGE_FLUSH_MS="1000")
            again.drained()
            for what, rows in stored(again).items():
                assert rows == first[what], what
