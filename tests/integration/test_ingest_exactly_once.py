"""One million readings are a million rows, whatever happens to the workers."""

from __future__ import annotations

import signal
import time

import pytest

from tests.integration.ingest import MakeIngest, load
from tests.waiting import eventually

MILLION = 1_000_000
COPYING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND state = 'active' AND query LIKE 'COPY%%'"
)
pytestmark = pytest.mark.stack


def test_a_clean_run_of_two_workers(make_ingest: MakeIngest) -> None:
    run = make_ingest()
    workers = [run.worker(), run.worker()]
    run.publish(load(MILLION))
    run.assert_exactly(MILLION)
    assert [worker.stop() for worker in workers] == [0, 0]
    assert run.one("SELECT count(DISTINCT owner) FROM progress") == 2


def test_kill_9_in_the_middle_and_a_restart(make_ingest: MakeIngest) -> None:
    run = make_ingest()
    run.publish(load(MILLION))
    victim = run.worker()
    run.wait_written(MILLION // 5)
    victim.kill()
    assert run.written() < MILLION, "the kill came too late to mean anything"
    run.worker()
    run.assert_exactly(MILLION)


def test_a_second_worker_joins_and_leaves_in_the_middle(make_ingest: MakeIngest) -> None:
    run = make_ingest()
    run.worker()
    guest = run.worker()
    run.publish(load(MILLION // 2))
    eventually(lambda: guest.said("Holding"), "the second worker to hold partitions")
    run.wait_written(MILLION // 10)
    assert guest.stop() == 0
    run.publish(load(MILLION // 2, start_us=1_791_000_000_000_000, epoch=2))
    run.assert_exactly(MILLION)


def test_a_paused_worker_is_a_zombie_whose_flush_is_fenced(make_ingest: MakeIngest) -> None:
    run = make_ingest()
    run.publish(load(MILLION // 2))
    zombie = run.worker()
    run.wait_written(MILLION // 20)
    zombie.signal(signal.SIGSTOP)
    run.worker()
    run.drained()
    zombie.signal(signal.SIGCONT)
    run.publish(load(MILLION // 2, start_us=1_791_000_000_000_000, epoch=2))
    run.assert_exactly(MILLION)


def test_a_worker_stopped_inside_copy_does_not_hold_up_its_successor(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    run.publish(load(MILLION // 2))
    stuck = run.worker()
    while True:
        eventually(lambda: run.one(COPYING) > 0, "a COPY under way")
        stuck.signal(signal.SIGSTOP)
        time.sleep(0.2)  # the server reads on what is in the socket, then waits for the client
        if run.one(COPYING + " AND wait_event = 'ClientRead'") > 0:
            break
        stuck.signal(signal.SIGCONT)
        assert run.written() < MILLION // 2, "never caught the worker inside COPY"
    run.worker()
    run.assert_exactly(MILLION // 2)


def test_sigterm_stores_what_was_taken_and_leaves_the_group(make_ingest: MakeIngest) -> None:
    run = make_ingest()
    first = run.worker()
    run.publish(load(MILLION // 10))
    run.wait_written(1)
    assert first.stop() == 0
    group = run.admin.describe_consumer_groups([run.topic])[run.topic].result(10)
    assert group.members == []
    run.worker()
    run.assert_exactly(MILLION // 10)


def test_cut_connections_cost_nothing(make_ingest: MakeIngest) -> None:
    run = make_ingest()
    worker = run.worker()
    run.publish(load(MILLION // 2))
    for share in range(1, 5):
        run.wait_written(share * MILLION // 12)
        run.session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    run.assert_exactly(MILLION // 2)
    assert worker.alive
