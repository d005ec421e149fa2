"""What the runbook tells an operator to do works, in the case that it is told for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import TopicPartition

from tests.documents import RUNBOOK, Block, blocks, dropping_of_chunks
from tests.integration.ingest import MakeIngest, load
from tests.waiting import eventually

pytestmark = pytest.mark.stack

TOPIC = "telemetry.readings"
QUERIES = [block for block in blocks(RUNBOOK, "sql") if "UPDATE" not in block.text]
LATER_US = 1_791_000_000_000_000
EVEN_LATER_US = 1_792_000_000_000_000


@pytest.mark.parametrize("block", QUERIES, ids=str)
def test_queries_run(block: Block, database: str) -> None:
    with psycopg.connect(database) as owner:
        assert owner.execute(block.text.encode()).description is not None


def test_before_chunks_are_dropped_their_time_is_closed(database: str) -> None:
    with psycopg.connect(database) as owner:
        close, drop = dropping_of_chunks()
        ((kept_from,),) = owner.execute(close.encode()).fetchall()
        assert owner.execute("SELECT kept_from FROM raw_retention").fetchall() == [(kept_from,)]
        owner.commit()
        owner.execute(drop.encode())


def test_the_command_for_a_halted_partition_lets_it_go_on(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    worker = run.worker()
    run.publish(load(1000))
    run.drained()
    worker.signal(signal.SIGSTOP)
    run.publish(load(100, start_us=LATER_US, epoch=2))  # which a fetch that is under way may hold
    run.publish(load(1000, start_us=EVEN_LATER_US, epoch=3))
    start = run.log_ends()[0] - 3  # of ten messages of a hundred readings
    cut = TopicPartition(run.topic, 0, start)
    run.admin.delete_records([cut])[cut].result(30)
    worker.signal(signal.SIGCONT)
    (query,) = [block.text for block in blocks(RUNBOOK, "sql") if "FROM halts" in block.text]
    halts = query.replace(TOPIC, run.topic).encode()
    eventually(lambda: bool(run.session.execute(halts).fetchall()), "the partition to be halted")

    (command,) = [block.text for block in blocks(RUNBOOK, "bash") if "streamgauge resume" in block.text]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.replace(f"{TOPIC}/3", f"{run.topic}/0")],
        input="y\n",
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "STREAMGAUGE_DATABASE_URL": run.dsn,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run.drained()
    assert worker.said(f"Holding {run.topic}/0 from offset {start}")
    assert run.written() in (1300, 1400), "what was stored before, and what the log still holds"
