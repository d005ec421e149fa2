"""Hostile and broken input: one dead letter each with its reason; the worker and the neighbours live."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from typing import Any

import psutil
import pytest
from confluent_kafka import Producer

from schemas.encode import BatchEncoder, SeriesRef, encode_reading
from schemas.registry import READING_V1
from streams.core.rejection import MAX_PAYLOAD_BYTES, Reason
from tests.integration.ingest import MakeIngest, load
from tests.waiting import eventually

pytestmark = pytest.mark.stack
START_US = 1_790_000_000_000_000
DAY_US = 86_400_000_000


def good(number: int) -> bytes:
    return encode_reading(source="pump", metric="rpm", time_us=START_US + number, value=1.0)


def as_json(**changed: Any) -> bytes:
    reading = {"source": "pump", "metric": "rpm", "time": START_US, "value": 1.0, **changed}
    return json.dumps(reading).encode()


def batch_with_lengths_that_differ() -> bytes:
    message = BatchEncoder("gw", [SeriesRef("pump", "rpm")]).encode(
        series_index=[0], time_us=[START_US], value=[1.0]
    )
    # The value array (one block of one double, end) and the two null unions: drop the array's item.
    return message[:-12] + b"\x00\x00\x00"


BAD: dict[str, tuple[bytes | None, Reason]] = {
    "tombstone": (None, Reason.EMPTY),
    "garbage": (b"\xde\xad\xbe\xef", Reason.UNKNOWN_ENCODING),
    "truncated avro": (good(0)[:-3], Reason.UNDECODABLE),
    "trailing bytes": (good(0) + b"x", Reason.TRAILING_BYTES),
    "unknown schema": (b"\xc3\x01" + bytes(8) + b"\x00", Reason.UNKNOWN_SCHEMA),
    "schema number without a registry": (b"\x00\x00\x00\x00\x07\x00", Reason.UNKNOWN_SCHEMA),
    "endless string": (READING_V1.prefix + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", Reason.UNDECODABLE),
    "lengths differ": (batch_with_lengths_that_differ(), Reason.SHAPE),
    "array of nulls": (b"[" + b"null," * 5000 + b"null]", Reason.WRONG_TYPE),
    "deep recursion": (b"[" * 100_000 + b"]" * 100_000, Reason.UNDECODABLE),
    "not json": (b'{"source":', Reason.UNDECODABLE),
    "nan": (as_json(value=float("nan")), Reason.UNDECODABLE),
    "nan in avro": (
        encode_reading(source="p", metric="m", time_us=START_US, value=float("nan")),
        Reason.NOT_FINITE,
    ),
    "infinity in avro": (
        encode_reading(source="p", metric="m", time_us=START_US, value=float("-inf")),
        Reason.NOT_FINITE,
    ),
    "year 1": (as_json(time="0001-01-01T00:00:00Z"), Reason.TIME_OUT_OF_BOUNDS),
    "year 9999": (as_json(time="9999-12-31T23:59:59Z"), Reason.TIME_OUT_OF_BOUNDS),
    "a year ahead": (as_json(time=START_US + 365 * DAY_US), Reason.FUTURE),
    "one megabyte name": (as_json(source="x" * 1_000_000), Reason.BAD_NAME),
    "control character": (as_json(metric="a\x00b"), Reason.BAD_NAME),
    "empty name": (as_json(source=""), Reason.BAD_NAME),
    "value is text": (as_json(value="1"), Reason.WRONG_TYPE),
    "value is true": (as_json(value=True), Reason.WRONG_TYPE),
    "time is a float": (as_json(time=1.5), Reason.WRONG_TYPE),
    "unknown field": (as_json(colour="red"), Reason.UNKNOWN_FIELD),
    "missing field": (b'{"source":"pump","metric":"rpm","value":1}', Reason.MISSING_FIELD),
    "bad quality": (as_json(quality="superb"), Reason.BAD_QUALITY),
    "bad unit": (as_json(attributes={"unit": "° C"}), Reason.BAD_UNIT),
}


def test_one_dead_letter_each_and_the_neighbours_are_written(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1, max_message_bytes="3000000")
    producer = Producer({"bootstrap.servers": run.settings.kafka, "message.max.bytes": 3_000_000})
    expected = {}
    for number, (payload, reason) in enumerate(BAD.values()):
        producer.produce(run.topic, good(number), b"gw", partition=0)
        producer.produce(run.topic, payload, b"gw", partition=0)
        expected[2 * number + 1] = reason.value
    producer.produce(run.topic, b"{" + b" " * 2_000_000 + b"}", b"gw", partition=0)
    expected[2 * len(BAD)] = Reason.TOO_LARGE.value
    producer.produce(run.topic, good(len(BAD)), b"gw", partition=0)
    producer.flush(30)
    worker = run.worker()
    run.drained()
    found = dict(run.session.execute('SELECT "offset", reason FROM dead_letters').fetchall())
    assert found == expected
    assert run.one("SELECT count(*) FROM readings") == len(BAD) + 1
    assert run.one("SELECT max(length(payload)) FROM dead_letters") <= MAX_PAYLOAD_BYTES
    assert run.one("SELECT max(payload_bytes) FROM dead_letters") == 2_000_002
    assert worker.alive


def test_one_bad_reading_of_a_batch_costs_itself_alone(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    value = [float(number) for number in range(100)]
    value[41] = float("nan")
    message = BatchEncoder("gw", [SeriesRef("pump", "rpm")]).encode(
        series_index=[0] * 100, time_us=[START_US + number for number in range(100)], value=value
    )
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    producer.produce(run.topic, message, b"gw")
    producer.flush(30)
    run.worker()
    run.drained()
    letters = run.session.execute('SELECT "offset", index, reason FROM dead_letters').fetchall()
    assert letters == [(0, 41, "not_finite")]
    assert run.one("SELECT count(*) FROM readings") == 99


def page(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_pages_tell_metrics_and_readiness_and_redis_is_not_needed(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    worker = run.worker(
        STREAMGAUGE_METRICS_PORT=str(port), STREAMGAUGE_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0"
    )
    eventually(lambda: worker.said("its pages are at"), "the pages")
    eventually(lambda: page(f"{base}/readyz")[0] == 200, "readiness")
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    for payload in (good(0), good(1), b"\xde\xad"):
        producer.produce(run.topic, payload, b"gw")
    producer.flush(30)
    run.drained()
    assert page(f"{base}/healthz") == (200, "ok\n")
    eventually(lambda: "streamgauge_readings_written_total 2.0" in page(f"{base}/metrics")[1], "two counted")
    assert 'streamgauge_dead_letters_total{reason="unknown_encoding"} 1.0' in page(f"{base}/metrics")[1]
    assert worker.alive


def test_a_database_that_stands_still_bounds_the_workers_memory(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=2)
    worker = run.worker()
    run.publish(load(1000))
    run.drained()
    process = psutil.Process(worker.pid)
    with run.session.transaction():
        run.session.execute("LOCK TABLE readings IN EXCLUSIVE MODE")
        run.publish(load(4_000_000, start_us=START_US + DAY_US, epoch=2))
        eventually(lambda: worker.said("did not succeed"), "a flush to meet the lock")
        assert process.memory_info().rss < 600_000_000
    run.assert_exactly(4_001_000)
    assert process.memory_info().rss < 600_000_000
