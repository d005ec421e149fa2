"""What a worker must not guess about halts its partition alone, until somebody decides."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from tests.integration.ingest import Ingest, MakeIngest, load
from tests.integration.test_ingest_bad_input import free_port, page
from tests.waiting import eventually
from tests.workers import WorkerProcess

pytestmark = pytest.mark.stack
LATER_US = 1_791_000_000_000_000
EVEN_LATER_US = 1_792_000_000_000_000


def resume(run: Ingest, number: int, where: str) -> Any:
    """Decide as an operator does."""
    words = ("resume", f"{run.topic}/{number}", "--from", where, "--why", "a test", "--yes", "--json")
    return run.cli(*words)


def recreate(run: Ingest, partitions: int = 1) -> None:
    """Delete the topic and make it again."""
    run.admin.delete_topics([run.topic])[run.topic].result(30)
    eventually(lambda: run.topic not in run.admin.list_topics(timeout=10).topics, "the topic to be gone")
    run.admin.create_topics([NewTopic(run.topic, partitions, 1)])[run.topic].result(30)


def delete_before(run: Ingest, offset: int) -> None:
    """Lose the records of partition 0 below ``offset``, as retention does."""
    cut = TopicPartition(run.topic, 0, offset)
    run.admin.delete_records([cut])[cut].result(30)


def halted(run: Ingest) -> list[tuple[int, str]]:
    rows = run.session.execute("SELECT partition, kind FROM halts WHERE topic = %s ORDER BY 1", (run.topic,))
    return [(number, kind) for number, kind in rows]


def await_halt(run: Ingest, worker: WorkerProcess, kind: str) -> None:
    eventually(lambda: halted(run) == [(0, kind)], f"the halt {kind} of partition 0, not {halted(run)}")
    assert worker.said(f"streamgauge resume {run.topic}/0 --from earliest --why")


def test_a_topic_recreated_while_no_worker_ran_is_another_log(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    first = run.worker()
    run.publish(load(1000))
    run.drained()
    assert first.stop() == 0
    recreate(run)
    run.publish(load(3000, start_us=LATER_US, epoch=2))  # so long that the stored offset lies inside
    second = run.worker()
    await_halt(run, second, "recreated")
    assert run.written() == 1000

    decided = resume(run, 0, "earliest")
    assert decided["recreated"] is True
    assert (decided["record"]["halt_kind"], decided["record"]["why"]) == ("recreated", "a test")
    run.drained()
    assert run.written() == 4000
    assert run.cli("verify", "--topic", run.topic, "--json")["ok"] is True
    assert second.alive, "it went on without a restart"
    assert halted(run) == []


def test_a_topic_recreated_under_a_running_worker_is_noticed(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    port = free_port()
    pages = f"http://127.0.0.1:{port}"
    worker = run.worker(STREAMGAUGE_METRICS_PORT=str(port))
    run.publish(load(1000))
    run.drained()
    recreate(run)
    await_halt(run, worker, "recreated")
    told = f'streamgauge_partition_halted{{partition="0",topic="{run.topic}"}} 1.0'
    eventually(lambda: told in page(f"{pages}/metrics")[1], "the halt among the metrics")
    status, reason = page(f"{pages}/readyz")
    assert (status, "the topic was recreated" in reason) == (503, True)
    run.publish(load(3000, start_us=LATER_US, epoch=2))
    resume(run, 0, "earliest")
    run.drained()
    assert run.written() == 4000
    assert worker.alive


def test_what_retention_took_halts_its_partition_alone(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=2)
    worker = run.worker()
    run.publish(load(10_000))
    run.drained()
    worker.signal(signal.SIGSTOP)
    run.publish(load(10_000, start_us=LATER_US, epoch=2))  # which a fetch that is under way may hold
    run.publish(load(10_000, start_us=EVEN_LATER_US, epoch=3))
    end = run.log_ends()[0]
    delete_before(run, end - 3)
    worker.signal(signal.SIGCONT)
    await_halt(run, worker, "deleted")
    eventually(lambda: run.progress()[1] == run.log_ends()[1], "the other partition to go on")
    stored = run.progress()[0]
    assert stored < end - 3

    again = run.worker()  # halted is halted, whoever comes
    eventually(lambda: worker.stop() == 0, "the worker to leave")
    eventually(lambda: again.said(f"Partition {run.topic}/0 is halted"), "its successor to be told")
    assert resume(run, 0, "earliest")["left_out"] == 0
    run.drained()
    assert run.written() == 30_000 - 100 * (end - 3 - stored)


def test_a_log_that_lost_its_end_stays_halted_when_it_grows_past_what_was_stored(
    make_ingest: MakeIngest,
) -> None:
    run = make_ingest(partitions=1)
    first = run.worker()
    run.publish(load(1000))
    run.drained()
    assert first.stop() == 0
    # What a broker does when it comes back without its last records is to have a shorter log.
    run.session.execute("UPDATE progress SET next_offset = next_offset + 5 WHERE topic = %s", (run.topic,))
    second = run.worker()
    await_halt(run, second, "truncated")
    run.publish(load(1000, start_us=LATER_US, epoch=2))
    second.kill()
    third = run.worker()
    eventually(lambda: third.said("is halted"), "the halt to be remembered")
    assert run.written() == 1000

    decided = resume(run, 0, "10")
    assert (decided["left_out"], decided["read_again"]) == (0, 5)
    run.drained()
    assert run.written() == 2000


def refused(run: Ingest, *words: str) -> tuple[int, str]:
    environment = {**os.environ, "STREAMGAUGE_DATABASE_URL": run.dsn}
    command = [sys.executable, "-m", "jobs.cli", "resume", *words]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, input="n\n")
    return ended.returncode, ended.stderr


def test_a_partition_that_is_not_halted_can_be_set_and_only_where_its_log_is(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    name = f"{run.topic}/0"
    code, said = refused(run, name, "--from", "earliest", "--why", "x")
    assert (code, "no worker has read" in said) == (1, True)
    worker = run.worker()
    run.publish(load(1000))
    run.drained()
    code, said = refused(run, name, "--from", "11", "--why", "x")
    assert (code, "the log does not hold offset 11" in said) == (2, True)
    code, said = refused(run, name, "--from", "earliest", "--why", " ")
    assert (code, "--why is empty" in said) == (2, True)
    code, said = refused(run, name, "--from", "earliest", "--why", "x")
    assert (code, run.one("SELECT count(*) FROM resumptions")) == (1, 0), said

    resume(run, 0, "earliest")
    eventually(lambda: worker.said("was set to offset 0"), "the worker to notice, with nothing to store")
    run.drained()
    counts = run.session.execute("SELECT written, duplicates FROM progress").fetchall()
    assert counts == [(1000, 1000)]


def test_what_somebody_left_out_is_not_missed(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    worker = run.worker()
    run.publish(load(1000))
    run.drained()
    worker.kill()
    run.publish(load(2000, start_us=LATER_US, epoch=2))
    assert resume(run, 0, "22")["left_out"] == 12
    run.worker()
    run.drained()
    assert run.written() == 1800
    assert run.cli("verify", "--topic", run.topic, "--json")["ok"] is True
    run.session.execute("DELETE FROM resumptions")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        run.cli("verify", "--topic", run.topic, "--json")
    assert json.loads(failed.value.stdout)["missing"] == 1200
