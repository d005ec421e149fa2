"""A record that kills every worker that works on it is found and set aside; its neighbours are stored."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer

from schemas.encode import encode_reading
from streams.failpoints import VARIABLE, Point
from tests.integration.ingest import Ingest, MakeIngest, WorkerProcess, load
from tests.waiting import eventually

pytestmark = pytest.mark.stack
START_US = 1_790_000_000_000_000
POISON = b'{"source":"pump","metric":"rpm","time":1790000000000000,"value":1,"attributes":{"x":"deadly"}}'
MANY = 5
"""Starts that the record takes: one as ever, one by chunk, three alone."""

MORTAL = """
import os
from streams import worker

healthy = worker.pipeline_of

def mortal(*arguments):
    pipeline = healthy(*arguments)
    stages = pipeline.together
    def work(chunks):
        if any(value and b"deadly" in value for messages in chunks for value in messages.values):
            {death}
        return stages(chunks)
    pipeline.together = work
    return pipeline

worker.pipeline_of = mortal
worker.main()
"""


def send(run: Ingest, partition: int, readings: int, deadly: int) -> None:
    """Send single readings to a partition, with the deadly record before the ``deadly``-th of them."""
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    for number in range(readings):
        if number == deadly:
            producer.produce(run.topic, POISON, b"plc", partition=partition)
        reading = encode_reading(
            source=f"pump-{partition}", metric="rpm", time_us=START_US + number, value=1.0
        )
        producer.produce(run.topic, reading, b"plc", partition=partition)
    assert producer.flush(30) == 0


def ended(worker: WorkerProcess, run: Ingest, ends: dict[int, int]) -> bool:
    """Wait until ``worker`` has stored everything, or ended."""
    eventually(
        lambda: worker.process.poll() is not None or run.progress() == ends, "the worker to get somewhere"
    )
    return worker.process.poll() is not None


@pytest.mark.parametrize("death", ["os._exit(9)", "raise MemoryError('a record ate it')"])
def test_a_record_that_kills_workers_becomes_a_dead_letter(make_ingest: MakeIngest, death: str) -> None:
    run = make_ingest(partitions=2)
    send(run, 0, readings=200, deadly=120)
    send(run, 1, readings=200, deadly=-1)
    ends = run.log_ends()
    program = ("-c", MORTAL.format(death=death))
    deaths = 0
    while ended(worker := run.worker(program), run, ends):
        deaths += 1
        assert deaths <= MANY, worker.log.read_text()
    assert deaths == MANY
    letters = run.session.execute(
        'SELECT partition, "offset", index, reason, payload, payload_bytes FROM dead_letters'
    ).fetchall()
    assert letters == [(0, 120, -1, "poison", POISON, len(POISON))]
    assert run.written() == 400
    eventually(lambda: suspicion(run) == {(0, None, 0)}, "the suspicion to end")
    assert run.cli("verify", "--topic", run.topic, "--json")["ok"] is True


def suspicion(run: Ingest) -> set[tuple[int, int | None, int]]:
    rows = run.session.execute("SELECT strikes, attempting, attempts FROM progress").fetchall()
    return {(strikes, attempting, attempts) for strikes, attempting, attempts in rows}


def test_workers_that_are_killed_while_they_start_blame_no_record(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    send(run, 0, readings=500, deadly=-1)
    for _ in range(MANY):
        victim = run.worker(**{VARIABLE: f"{Point.DURING_CLAIM}:kill:1"})
        assert victim.process.wait(60) == -9
    assert suspicion(run) == {(MANY - 1, None, 0)}
    run.worker()
    run.assert_exactly(500)
    eventually(lambda: suspicion(run) == {(0, None, 0)}, "the suspicion to end")
    run.publish(load(1000))
    run.assert_exactly(1500)
