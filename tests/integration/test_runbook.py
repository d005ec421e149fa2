"""What the runbook tells an operator to do works, in the case that it is told for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from streams.settings import PROJECT_ROOT
from tests.documents import Block, blocks
from tests.integration.ingest import Ingest, MakeIngest, eventually, load

pytestmark = pytest.mark.stack

RUNBOOK = PROJECT_ROOT / "docs" / "runbook.md"
TOPIC = "telemetry.readings"
QUERIES = [block for block in blocks(RUNBOOK, "sql") if "UPDATE" not in block.text]
LATER_US = 1_791_000_000_000_000


@pytest.mark.parametrize("block", QUERIES, ids=str)
def test_queries_run(block: Block, database: str) -> None:
    with psycopg.connect(database) as owner:
        assert owner.execute(block.text.encode()).description is not None


def test_before_chunks_are_dropped_their_time_is_closed(database: str) -> None:
    (block,) = [block for block in blocks(RUNBOOK, "sql") if "drop_chunks" in block.text]
    with psycopg.connect(database) as owner:
        close, drop = filter(str.strip, block.text.split(";"))
        ((kept_from,),) = owner.execute(close.encode()).fetchall()
        assert owner.execute("SELECT kept_from FROM raw_retention").fetchall() == [(kept_from,)]
        owner.execute(drop.encode())
        owner.rollback()


def go_on(run: Ingest, next_offset: int) -> str:
    """Let the runbook's statement move partition 0, as its operator does: by psql, as the owner."""
    (shell,) = [block.text for block in blocks(RUNBOOK, "bash") if "READER_URL" in block.text]
    (statement,) = [block.text for block in blocks(RUNBOOK, "sql") if r"\set" in block.text]
    case = {"topic": run.topic, "partition": 0, "next": next_offset}
    for name, value in case.items():
        statement = re.sub(rf"^\\set {name} .*$", rf"\\set {name} {value}", statement, flags=re.MULTILINE)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shell.rstrip() + ' -v ON_ERROR_STOP=1 "$@"', "bash"],
        input=statement,
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
    return done.stdout


def delete_what_is_not_stored(run: Ingest) -> int:
    """Lose records as retention would; return where the log begins then."""
    stored = run.progress()[0]
    run.publish(load(1000, start_us=LATER_US, epoch=2))
    start = run.log_ends()[0] - 3  # of ten messages of a hundred readings
    cut = TopicPartition(run.topic, 0, start)
    run.admin.delete_records([cut])[cut].result(30)
    assert stored < start
    return start


def recreate(run: Ingest) -> int:
    """Delete the topic and make it again with less in it; return where to go on."""
    run.admin.delete_topics([run.topic])[run.topic].result(30)
    eventually(lambda: run.topic not in run.admin.list_topics(timeout=10).topics, "the topic to be gone")
    run.admin.create_topics([NewTopic(run.topic, 1, 1)])[run.topic].result(30)
    run.publish(load(300, start_us=LATER_US, epoch=2))
    return 0


@pytest.mark.parametrize(
    ("lose", "said"),
    [(delete_what_is_not_stored, "were deleted from the log"), (recreate, "truncated or recreated")],
)
def test_a_halted_partition_goes_on(
    make_ingest: MakeIngest, lose: Callable[[Ingest], int], said: str
) -> None:
    run = make_ingest(partitions=1)
    first = run.worker()
    run.publish(load(1000))
    run.drained()
    assert first.stop() == 0
    next_offset = lose(run)
    second = run.worker()
    eventually(lambda: second.said("is halted"), "the partition to be halted")
    assert second.said(said)

    assert "UPDATE 1" in go_on(run, next_offset)
    second.kill()
    third = run.worker()

    run.drained()
    assert third.said(f"Holding {run.topic}/0 from offset {next_offset}")
    assert run.written() == 1300, "what was stored before, and what the log still holds"
