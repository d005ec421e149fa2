"""The raw figures of this machine."""

from __future__ import annotations

import os

import psutil

from jobs.host.snapshot import take_snapshot


def test_a_snapshot_agrees_with_the_machine() -> None:
    snapshot = take_snapshot()

    assert len(snapshot.cores) == psutil.cpu_count()
    assert all(0 <= core.busy_s <= core.total_s for core in snapshot.cores)
    assert snapshot.memory.total == psutil.virtual_memory().total
    assert snapshot.memory.used + snapshot.memory_available == snapshot.memory.total
    assert os.getpid() in {pid for pid, _ in snapshot.processes}


def test_counters_do_not_run_backwards() -> None:
    before, now = take_snapshot(), take_snapshot()

    assert now.at_s >= before.at_s
    assert all(b.total_s <= n.total_s for b, n in zip(before.cores, now.cores, strict=True))
    assert all(now.interfaces[name].inward >= traffic.inward for name, traffic in before.interfaces.items())
