"""Dead letters from end to end: stored, told on their topic, counted, replayed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas.dead_letter import decode_dead_letter
from schemas.encode import BatchEncoder, SeriesRef, encode_reading
from tests.databases import as_reader, as_writer
from tests.integration.ingest import Ingest, MakeIngest
from tests.integration.test_ingest_bad_input import free_port, page
from tests.waiting import eventually

pytestmark = pytest.mark.stack
START_US = 1_790_000_000_000_000


class Told(NamedTuple):
    """One message of the topic of dead letters."""

    event_id: str
    key: bytes | None
    fields: dict[str, Any]


def told(run: Ingest, count: int) -> list[Told]:
    """Return the first ``count`` messages of the topic of dead letters."""
    consumer = Consumer({"bootstrap.servers": run.settings.kafka, "group.id": run.letters_topic})
    consumer.assign([TopicPartition(run.letters_topic, 0, 0)])
    found: list[Told] = []
    while len(found) < count:
        (message,) = consumer.consume(1, 60) or pytest.fail(f"{len(found)} of {count} letters were told")
        event_id, value, key = dict(message.headers() or [])["event_id"], message.value(), message.key()
        assert isinstance(event_id, bytes)
        assert isinstance(value, bytes)
        assert key is None or isinstance(key, bytes)
        found.append(Told(event_id.decode(), key, decode_dead_letter(value)))
    consumer.close()
    return found


def dead_letters(run: Ingest, *words: str) -> Any:
    """Run ``streamgauge dead-letters`` as a workers' and an analysts' user may."""
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "dead-letters", *words, "--json"],
        env={
            **os.environ,
            "STREAMGAUGE_DATABASE_URL": "postgresql://127.0.0.1:1/not-needed",
            "STREAMGAUGE_WRITER_URL": as_writer(run.dsn),
            "STREAMGAUGE_READER_URL": as_reader(run.dsn),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def reading(metric: str, number: int = 0, value: float = 1.0, sequence: int | None = None) -> bytes:
    """Return a reading of pump-1."""
    return encode_reading(
        source="pump-1",
        metric=metric,
        time_us=START_US + number,
        value=value,
        producer="plc-1",
        sequence=sequence,
    )


def publish(run: Ingest, *messages: bytes | None, key: bytes | None = b"plc-1") -> None:
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    for message in messages:
        producer.produce(run.topic, message, key, partition=0)
    assert producer.flush(30) == 0
    run.drained()


def test_a_letter_is_stored_and_told_under_its_id_with_the_key_of_its_record(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    run.worker()
    batch = BatchEncoder("gw", [SeriesRef("pump-1", "rpm")]).encode(
        series_index=[0, 0], time_us=[START_US, START_US + 1], value=[1.0, float("nan")]
    )
    publish(run, b"\xde\xad", reading("rpm", 5), batch)
    publish(run, b"\xbe\xef", key=None)
    letters = told(run, 3)
    assert [(letter.event_id, letter.key) for letter in letters] == [
        (f"{run.topic}/0/0/-1", b"plc-1"),
        (f"{run.topic}/0/2/1", b"plc-1"),
        (f"{run.topic}/0/3/-1", None),
    ]
    rows = run.session.execute(
        'SELECT topic, partition, "offset", index, kafka_time, reason, detail, payload, payload_bytes, key'
        " FROM dead_letters ORDER BY id"
    ).fetchall()
    assert [(*letter.fields.values(), letter.key) for letter in letters] == rows
    assert rows[0][4] is not None
    eventually(lambda: run.one("SELECT count(*) FROM outbox") == 0, "the outbox to be empty")


def test_after_a_fix_letters_are_replayed_and_each_reading_is_stored_once(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=3)
    strict = run.worker(STREAMGAUGE_MAX_SERIES_PER_TENANT="1", STREAMGAUGE_MAX_READINGS_PER_MESSAGE="100")
    batch = BatchEncoder("gw", [SeriesRef("pump-1", "rpm")]).encode(
        series_index=[0] * 200, time_us=range(START_US + 1, START_US + 201), value=[1.0] * 200
    )
    publish(run, reading("rpm", sequence=0), reading("load", sequence=1), reading("flow", sequence=2), batch)
    (too_many, flow, load) = dead_letters(run, "list", "--state", "open")
    assert (flow["reason"], load["reason"]) == ("series_limit", "series_limit")
    assert (too_many["reason"], run.written()) == ("too_many_readings", 1)
    assert strict.stop() == 0

    run.worker()
    assert dead_letters(run, "replay", str(load["id"]), "--by", "me") == {"replayed": 1, "cut": 0}
    run.wait_written(2)
    assert dead_letters(run, "replay", "--since", "1h", "--yes") == {"replayed": 2, "cut": 0}
    run.wait_written(203)
    states = {letter["id"]: (letter["state"], letter["state_by"]) for letter in dead_letters(run, "list")}
    assert states[load["id"]] == ("replayed", "me")
    assert {state for state, _ in states.values()} == {"replayed"}
    assert record_at(run, 5 + 1) == (f"dead-letter/{too_many['id']}".encode(), b"plc-1", batch)

    assert dead_letters(run, "replay", "--since", "1h", "--yes") == {"replayed": 0, "cut": 0}
    assert dead_letters(run, "replay", "--since", "1h", "--again", "--yes") == {"replayed": 3, "cut": 0}
    eventually(lambda: run.one("SELECT sum(duplicates) FROM progress") == 202, "all to be duplicates")
    run.drained()
    assert run.session.execute(
        "SELECT metric, count(*) FROM readings JOIN series USING (series_id) GROUP BY metric ORDER BY metric"
    ).fetchall() == [("flow", 1), ("load", 1), ("rpm", 201)]
    assert run.one("SELECT count(*) FROM dead_letters") == 3


def record_at(run: Ingest, offset: int) -> tuple[object, ...]:
    """Return event id, key and value of the record at ``offset`` of partition 0."""
    consumer = Consumer({"bootstrap.servers": run.settings.kafka, "group.id": run.topic})
    consumer.assign([TopicPartition(run.topic, 0, offset)])
    (message,) = consumer.consume(1, 30)
    consumer.close()
    return dict(message.headers() or [])["event_id"], message.key(), message.value()


def test_a_conflict_is_replayed_as_a_correction(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    run.worker()
    publish(run, reading("rpm", value=1.0, sequence=0), reading("rpm", value=2.0, sequence=1))
    assert dead_letters(run, "replay", "--since", "1h", "--revision", "1", "--yes")["replayed"] == 1
    eventually(lambda: run.one("SELECT sum(corrections) FROM progress") == 1, "the correction")
    assert run.session.execute("SELECT value FROM readings").fetchall() == [(2.0,)]
    assert run.session.execute("SELECT value FROM reading_versions ORDER BY revision").fetchall() == [
        (1.0,),
        (2.0,),
    ]


def test_every_reason_is_counted_for_prometheus(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    run.session.execute("UPDATE raw_retention SET kept_from = '2025-01-01'")
    try:
        port = free_port()
        run.worker(STREAMGAUGE_METRICS_PORT=str(port), STREAMGAUGE_MAX_SERIES_PER_TENANT="1")
        old = encode_reading(source="pump-1", metric="rpm", time_us=1_700_000_000_000_000, value=1.0)
        publish(
            run, reading("rpm"), reading("rpm", value=2.0), old, reading("load"), b"\xde\xad", b"\xbe\xef"
        )
    finally:
        run.session.execute("UPDATE raw_retention SET kept_from = '-infinity'")
    counted = {
        f'streamgauge_dead_letters_total{{reason="{reason}"}} {count}.0'
        for reason, count in {"conflict": 1, "expired": 1, "series_limit": 1, "unknown_encoding": 2}.items()
    }
    wanted = {*counted, "streamgauge_outbox_messages 0.0", "streamgauge_outbox_refused 0.0"}

    def missing() -> set[str]:
        return wanted - set(page(f"http://127.0.0.1:{port}/metrics")[1].splitlines())

    eventually(lambda: not missing(), f"{wanted} to be told")
