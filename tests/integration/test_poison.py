"""A record that kills every worker that works on it is found and set aside; its neighbours are stored."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from functools import partial

import pytest
from confluent_kafka import Producer

from schemas.encode import encode_reading
from streams.core.batch import Messages
from streams.core.pipeline import Pipeline, Staged
from streams.failpoints import VARIABLE, Point
from tests.integration.ingest import Ingest, MakeIngest, load
from tests.waiting import eventually
from tests.workers import WorkerProcess

pytestmark = pytest.mark.stack
START_US = 1_790_000_000_000_000
POISON = b'{"source":"pump","metric":"rpm","time":1790000000000000,"value":1,"attributes":{"x":"deadly"}}'
MANY = 5
"""Starts that the record takes: one as ever, one by chunk, three alone."""


def die_of_it(death: Callable[[], None]) -> None:
    """Let this process meet its ``death`` as soon as it works on the deadly record."""
    stages = Pipeline.together

    def mortal(self: Pipeline, chunks: Sequence[Messages]) -> list[Staged]:
        if any(value and b"deadly" in value for messages in chunks for value in messages.values):
            death()
        return stages(self, chunks)

    Pipeline.together = mortal  # type: ignore[method-assign]


def exit_at_once() -> None:
    os._exit(9)


def run_out_of_memory() -> None:
    raise MemoryError("a record ate it")


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
    eventually(lambda: not worker.alive or run.progress() == ends, "the worker to get somewhere")
    return not worker.alive


@pytest.mark.parametrize("death", [exit_at_once, run_out_of_memory])
def test_a_record_that_kills_workers_becomes_a_dead_letter(
    make_ingest: MakeIngest, death: Callable[[], None]
) -> None:
    run = make_ingest(partitions=2)
    send(run, 0, readings=200, deadly=120)
    send(run, 1, readings=200, deadly=-1)
    ends = run.log_ends()
    deaths = 0
    while ended(worker := run.worker(partial(die_of_it, death)), run, ends):
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
        assert victim.exit_code() == -signal.SIGKILL
    assert suspicion(run) == {(MANY - 1, None, 0)}
    run.worker()
    run.assert_exactly(500)
    eventually(lambda: suspicion(run) == {(0, None, 0)}, "the suspicion to end")
    run.publish(load(1000))
    run.assert_exactly(1500)
