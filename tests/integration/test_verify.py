"""The proof of exactly-once holds where it should, and fails under the right name where it should not."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.generate import Encoding
from jobs.verify.log import Log
from jobs.verify.report import Report
from jobs.verify.verify import verify
from schemas.encode import BatchEncoder, SeriesRef, encode_reading
from streams.errors import UserError
from streams.worker import pipeline_of
from tests.integration.ingest import Ingest, MakeIngest, load
from tests.waiting import eventually

pytestmark = pytest.mark.stack
START_US = 1_790_000_000_000_000
FAULTS = (
    "missing",
    "doubled",
    "altered",
    "unexplained",
    "misflagged",
    "unmarked",
    "misrolled",
    "misdetected",
    "miscounted",
    "misordered",
    "out_of_bounds",
)


def reading(number: int, value: float = 1.0, **given: Any) -> bytes:
    return encode_reading(source="pump", metric="rpm", time_us=START_US + number, value=value, **given)


def send(run: Ingest, *values: bytes, partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    for value in values:
        producer.produce(run.topic, value, b"gw", partition=partition)
    assert producer.flush(30) == 0


def send_at(run: Ingest, second: int, *values: bytes) -> None:
    """Send with a Kafka timestamp of so many seconds after the start; the topic must allow it."""
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    for value in values:
        producer.produce(run.topic, value, b"gw", partition=0, timestamp=START_US // 1000 + second * 1000)
    assert producer.flush(30) == 0


def checked(run: Ingest) -> Report:
    return verify(run.dsn, Log(run.settings.kafka, run.topic), run.topic, pipeline_of(run.settings))


def faults(run: Ingest) -> dict[str, int]:
    return {name: count for name, count in checked(run).faults.items() if count}


def settled(run: Ingest) -> None:
    run.drained()
    eventually(lambda: run.one("SELECT count(*) FROM outbox") == 0, "the outbox to be emptied")
    run.drained()


def everything_at_once(run: Ingest) -> None:
    """Repeats, corrections, conflicts, a number used twice, garbage, and a device that roams."""
    run.publish(load(20_000))
    run.publish(load(20_000, Encoding.JSON_ARRAY))
    send(run, *(reading(number) for number in range(100)))
    send(run, reading(0, 2.0, revision=1), reading(1, 9.0), reading(2, float("nan"), quality=2, revision=3))
    send(run, b"", b"garbage", b'{"source":"pump"}', reading(-40 * 365 * 86_400_000_000))
    numbered = BatchEncoder("gw-7", [SeriesRef("fan", "rpm")])
    for start in (0, 10):
        times = [START_US + start + number for number in range(10)]
        send(run, numbered.encode(series_index=[0] * 10, time_us=times, value=[1.0] * 10, first_sequence=0))
    run.drained()
    send(run, *(reading(number) for number in range(50, 150)), partition=1)
    settled(run)


def test_a_clean_run_with_everything_in_it_is_ok(make_ingest: MakeIngest) -> None:
    run = make_ingest()
    run.worker(STREAMGAUGE_MEMORY_MB="1")
    run.worker(STREAMGAUGE_MEMORY_MB="1")
    everything_at_once(run)
    told = run.cli("verify", "--topic", run.topic, "--json")
    assert told["ok"]
    assert {name: told[name] for name in FAULTS} == dict.fromkeys(FAULTS, 0)
    assert told["in_flight"] == told["beyond_log"] == told["outbox"] == 0
    assert told["records"] == sum(run.log_ends().values())
    sums = {
        fate: sum(partition["by_the_log"][fate] for partition in told["partitions"].values())
        for fate in ("written", "duplicates", "corrections", "dead_letters", "forwarded")
    }
    assert sums["written"] == run.one("SELECT count(*) FROM readings") == 20_000 + 150 + 10
    assert sums["forwarded"] == 100
    assert sums["corrections"] == 2
    assert sums["dead_letters"] == run.one("SELECT count(*) FROM dead_letters") == 15


def test_it_is_ok_at_any_moment_while_data_flows(make_ingest: MakeIngest) -> None:
    run = make_ingest()
    run.worker()
    run.worker()
    for epoch in range(1, 4):
        run.publish(load(100_000, epoch=epoch, start_us=START_US + epoch * 10**10))
        report = checked(run)
        assert report.ok, report.document()
    run.drained()
    report = checked(run)
    assert (report.ok, report.readings) == (True, 300_000)


@pytest.mark.parametrize(
    ("deed", "expected"),
    [
        (
            "DELETE FROM readings WHERE (series_id, ts) IN (SELECT series_id, ts FROM readings LIMIT 3)",
            {"missing": 3},
        ),
        ("INSERT INTO readings SELECT * FROM readings ORDER BY series_id, ts LIMIT 2", {"doubled": 2}),
        (
            "UPDATE readings SET value = value + 1 WHERE (series_id, ts) = "
            "(SELECT series_id, ts FROM readings LIMIT 1)",
            {"altered": 1},
        ),
        (
            "UPDATE readings SET quality = 1 WHERE (series_id, ts) = "
            "(SELECT series_id, ts FROM readings LIMIT 1)",
            {"altered": 1},
        ),
        (
            "INSERT INTO readings SELECT '2020-01-01', 1, series_id, 0 FROM series LIMIT 1",
            {"unexplained": 1},
        ),
        ("INSERT INTO readings VALUES ('2020-01-01', 1, 2000000000, 0)", {"unexplained": 1}),
        ("UPDATE progress SET written = written - 1, duplicates = duplicates + 1", {"miscounted": 1}),
        ("UPDATE progress SET next_offset = next_offset + 1000", {"out_of_bounds": 1}),
    ],
)
def test_what_was_done_by_hand_is_found_under_its_name(
    make_ingest: MakeIngest, deed: str, expected: dict[str, int]
) -> None:
    run = make_ingest(partitions=1)
    worker = run.worker()
    run.publish(load(1_000))
    run.drained()
    worker.stop()
    assert faults(run) == {}
    run.session.execute(deed.encode())
    assert faults(run) == expected


LATENESS = [
    ("UPDATE readings SET late = NOT late WHERE late", {"misflagged": 2}),
    ("UPDATE readings SET late = true", {"misflagged": 41}),
    ("DELETE FROM dirty_buckets", {"unmarked": 1}),
    ("UPDATE progress SET in_order = in_order - 1", {"misordered": 1}),
    ("UPDATE progress SET late = late + 1", {"misordered": 1}),
    ("UPDATE progress SET watermark = watermark + INTERVAL '1 us'", {"misordered": 1}),
    ("UPDATE progress SET released_to = released_to - INTERVAL '1 s'", {"misordered": 1}),
    ("UPDATE late_readings SET readings = readings + 1 WHERE up_to_s = 10", {"misordered": 1}),
]
SAVED = ("readings", "progress", "late_readings", "dirty_buckets")


def test_what_is_wrong_with_lateness_is_found_under_its_name(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1, message_timestamp_type="CreateTime")
    worker = run.worker()
    for second in range(40):
        send_at(run, second, reading(second * 1_000_000))
    # The watermark is ten seconds behind 39 s: two readings and one of the corrections come late.
    late = reading(5_500_000), reading(28_999_999), reading(3_000_000, 2.0, revision=1)
    send_at(run, 40, *late, reading(29_000_000, 3.0, revision=1), reading(29_000_001))
    run.drained()
    worker.stop()
    (told,) = run.cli("verify", "--topic", run.topic, "--json")["partitions"].values()
    assert told["order_by_progress"] == told["order_by_the_log"]
    assert told["order_by_progress"] == {
        "watermark_us": START_US + 29_000_000,
        "released": 29,
        "late": 2,
        "late_by": {"10": 1, "60": 1},
    }
    assert faults(run) == {}
    for table in SAVED:
        run.session.execute(f"CREATE TEMP TABLE saved_{table} AS SELECT * FROM {table}".encode())
    for deed, expected in LATENESS:
        run.session.execute(deed.encode())
        assert faults(run) == expected, deed
        for table in SAVED:
            again = f"INSERT INTO {table} OVERRIDING SYSTEM VALUE SELECT * FROM saved_{table}"
            run.session.execute(f"TRUNCATE {table}; {again}".encode())
    assert faults(run) == {}


def test_an_offset_that_was_set_back_leaves_readings_unexplained(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    worker = run.worker()
    run.publish(load(1_000))
    run.drained()
    worker.stop()
    run.session.execute("UPDATE progress SET next_offset = next_offset - 2")
    # Whether the watermark has moved since depends on how long the load took.
    assert faults(run) | {"misordered": 1} == {"unexplained": 200, "miscounted": 1, "misordered": 1}


def test_records_that_were_skipped_are_missing(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    worker = run.worker()
    send(run, reading(0))
    run.drained()
    worker.stop()
    send(run, reading(1), encode_reading(source="new", metric="rpm", time_us=START_US, value=1.0))
    run.session.execute("UPDATE progress SET next_offset = next_offset + 2")
    report = checked(run)
    found = {name: count for name, count in report.faults.items() if count}
    # Whether they would have moved the watermark depends on how long after the first they were sent.
    assert found | {"misordered": 1} == {"missing": 2, "miscounted": 1, "misordered": 1}
    assert {example["source"] for example in report.document()["examples"]["missing"]} == {"pump", "new"}


def test_a_forwarded_reading_that_is_lost_is_missing(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=2)
    # Whoever holds this lock is the relay, and this one sends nothing.
    run.session.execute("SELECT pg_advisory_lock(hashtext('streamgauge outbox'))")
    run.worker()
    send(run, reading(0), partition=0)
    run.drained()
    send(run, reading(0), reading(1), partition=1)
    run.drained()
    waiting = checked(run)
    assert (waiting.ok, waiting.waiting, waiting.document()["in_flight"]) == (True, (1, 0), 1)
    run.session.execute("UPDATE outbox SET created_at = now() - INTERVAL '2 minutes'")
    assert checked(run).waiting.late == 1
    run.session.execute("DELETE FROM outbox")
    assert faults(run) == {"missing": 1}


def test_what_the_log_no_longer_holds_is_not_unexplained(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    run.worker()
    send(run, reading(0), reading(1, 2.0, revision=2), reading(2))
    run.drained()
    run.admin.delete_records([TopicPartition(run.topic, 0, 2)])[TopicPartition(run.topic, 0)].result(30)
    send(run, reading(0), reading(1, 3.0, revision=1), reading(1, 4.0, revision=3), reading(3))
    run.drained()
    report = checked(run)
    assert (report.ok, report.records, report.document()["beyond_log"]) == (True, 5, 0)
    run.admin.delete_records([TopicPartition(run.topic, 0, 4)])[TopicPartition(run.topic, 0)].result(30)
    report = checked(run)
    assert (report.ok, report.records, report.document()["beyond_log"]) == (True, 3, 2)
    run.session.execute("DELETE FROM readings WHERE value = 4.0")
    assert faults(run) == {"missing": 1}


def test_people_get_a_table_and_examples(make_ingest: MakeIngest, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_ingest(partitions=1)
    run.worker()
    send(run, reading(0), reading(1))
    run.drained()
    monkeypatch.setenv("STREAMGAUGE_DATABASE_URL", run.dsn)
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["verify", "--topic", run.topic])
    assert shown.exit_code == 0
    assert "exactly once: 2 readings in 2 records" in shown.output
    run.session.execute("DELETE FROM readings WHERE ts = (SELECT min(ts) FROM readings)")
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["verify", "--topic", run.topic])
    assert shown.exit_code == 1
    assert "default/pump/rpm at 2026-09-21" in shown.output
    assert "not as the log says: 1 missing" in shown.output


def test_a_topic_that_does_not_exist_is_said_so(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    with pytest.raises(UserError, match=r"topic test\.none"):
        verify(run.dsn, Log(run.settings.kafka, "test.none"), "test.none", pipeline_of(run.settings))


def test_what_only_the_database_can_refuse_is_believed_of_its_dead_letters(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    worker = run.worker(STREAMGAUGE_MAX_SERIES_PER_TENANT="1")
    send(run, reading(0), encode_reading(source="new", metric="rpm", time_us=START_US, value=1.0))
    run.drained()
    worker.stop()
    run.session.execute("UPDATE raw_retention SET kept_from = '2026-01-01'")
    run.worker(STREAMGAUGE_MAX_SERIES_PER_TENANT="1")
    send(run, reading(-365 * 86_400_000_000), reading(1))
    run.drained()
    reasons = run.session.execute("SELECT reason FROM dead_letters ORDER BY id").fetchall()
    run.session.execute("UPDATE raw_retention SET kept_from = '-infinity'")
    assert reasons == [("series_limit",), ("expired",)]
    assert faults(run) == {}
    run.session.execute("DELETE FROM dead_letters")
    assert faults(run) == {"missing": 2, "miscounted": 1, "misordered": 1}
