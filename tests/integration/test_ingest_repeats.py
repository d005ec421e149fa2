"""Producers repeat, correct, restart and roam: each reading is still stored once."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from jobs.generate import Encoding
from schemas.encode import BatchEncoder, SeriesRef, encode_reading
from tests.integration.ingest import Ingest, MakeIngest, load
from tests.waiting import eventually

pytestmark = pytest.mark.stack
START_US = 1_790_000_000_000_000


def reading(number: int, value: float = 1.0, **given: object) -> bytes:
    return encode_reading(source="pump", metric="rpm", time_us=START_US + number, value=value, **given)  # type: ignore[arg-type]


def send(run: Ingest, *values: bytes, partition: int = 0, key: bytes = b"gw") -> None:
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    for value in values:
        producer.produce(run.topic, value, key, partition=partition)
    assert producer.flush(30) == 0


def counts(run: Ingest) -> dict[str, int]:
    row = run.session.execute(
        "SELECT sum(written), sum(duplicates), sum(corrections), sum(dead_letters), sum(forwarded) "
        "FROM progress"
    ).fetchone()
    assert row is not None
    return dict(
        zip(("written", "duplicates", "corrections", "dead_letters", "forwarded"), map(int, row), strict=True)
    )


def test_everything_sent_twice_is_stored_once_across_restarts_and_beyond_memory(
    make_ingest: MakeIngest,
) -> None:
    run = make_ingest()
    first = run.worker(STREAMGAUGE_MEMORY_MB="1")
    run.publish(load(200_000))
    run.publish(load(200_000))
    run.drained()
    assert first.stop() == 0
    run.publish(load(200_000))
    run.worker(STREAMGAUGE_MEMORY_MB="1")
    run.publish(load(100_000, Encoding.JSON_ARRAY))
    run.drained()
    assert run.one("SELECT count(*) FROM readings") == 200_000
    assert run.one("SELECT count(DISTINCT (series_id, ts)) FROM readings") == 200_000
    assert counts(run)["duplicates"] == 500_000


def test_corrections_replace_and_conflicts_are_dead_letters_with_both_values(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    run.worker()
    send(run, reading(0), reading(1), reading(1, 9.0))
    send(run, reading(0, 2.0, revision=1), reading(0, 3.0, revision=1), reading(0, 2.0))
    run.drained()
    stored = run.session.execute("SELECT value FROM readings ORDER BY ts").fetchall()
    assert stored == [(2.0,), (1.0,)]
    versions = run.session.execute(
        "SELECT revision, value FROM reading_versions ORDER BY revision"
    ).fetchall()
    assert versions == [(0, 1.0), (1, 2.0)]
    details = [
        row[0] for row in run.session.execute("SELECT detail FROM dead_letters WHERE reason = 'conflict'")
    ]
    assert len(details) == 2
    assert "1.0" in details[0] and "9.0" in details[0]
    assert counts(run) == {"written": 2, "duplicates": 1, "corrections": 1, "dead_letters": 2, "forwarded": 0}


def test_a_device_that_roams_between_partitions_is_stored_once(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=2)
    run.worker()
    run.worker()
    send(run, *(reading(number) for number in range(100)), partition=0)
    run.drained()
    send(run, *(reading(number) for number in range(50, 150)), partition=1)
    run.drained()
    eventually(lambda: run.one("SELECT count(*) FROM outbox") == 0, "the outbox to be emptied")
    eventually(lambda: run.one("SELECT count(*) FROM readings") == 150, "the forwarded readings")
    run.drained()
    assert run.one("SELECT count(DISTINCT (series_id, ts)) FROM readings") == 150
    assert counts(run) == {
        "written": 150,
        "duplicates": 50,
        "corrections": 0,
        "dead_letters": 0,
        "forwarded": 100,
    }


def test_gaps_in_a_producers_numbers_are_seen_and_close_when_they_are_filled(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    first = run.worker()
    encoder = BatchEncoder("gw-7", [SeriesRef("pump", "rpm")])

    def batch(start: int, count: int) -> bytes:
        times = [START_US + number for number in range(start, start + count)]
        return encoder.encode(
            series_index=[0] * count, time_us=times, value=[1.0] * count, epoch=3, first_sequence=start
        )

    gaps = "SELECT producer, epoch, first_missing, last_missing FROM producer_gaps"
    send(run, batch(0, 10), batch(20, 10), key=b"gw-7")
    run.drained()
    eventually(lambda: nudged(run, gaps) == [("gw-7", 3, 10, 19)], "the gap to be shown")
    (told,) = run.cli("producers", "--like", "gw-7", "--json")
    assert (told["epoch"], told["last_sequence"], told["missing"]) == (3, 29, 10)
    assert told["gaps"] == ["10-19"]
    (unnumbered,) = run.cli("producers", "--like", "gw", "--json")
    assert (unnumbered["epoch"], unnumbered["last_sequence"], unnumbered["missing"]) == (None, None, 0)
    first.kill()
    run.worker()
    send(run, batch(10, 10), key=b"gw-7")
    eventually(lambda: nudged(run, gaps) == [], "the gap to be closed")


def nudged(run: Ingest, query: str) -> list[tuple[object, ...]]:
    """Send one more reading, so that what was seen is summed up, and ask."""
    nudged.number += 1  # type: ignore[attr-defined]
    send(run, reading(10_000 + nudged.number))  # type: ignore[attr-defined]
    run.drained()
    return run.session.execute(query.encode()).fetchall()


nudged.number = 0  # type: ignore[attr-defined]
