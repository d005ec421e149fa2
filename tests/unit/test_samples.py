"""From two snapshots to readings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.host.samples import MAX_PARTS, samples
from jobs.host.snapshot import CpuTime, Process, Snapshot, Space, Traffic, take_snapshot
from streams.core.series import SeriesKey
from streams.core.validate import fault_of_series

BEFORE = Snapshot(
    at_s=100.0,
    cores=(CpuTime(10.0, 100.0), CpuTime(20.0, 100.0)),
    memory=Space(6_000, 10_000),
    memory_available=4_000,
    swap=Space(0, 0),
    load=(0.5, 0.25, 0.125),
    uptime_s=100.0,
    filesystems={"/": Space(50, 200)},
    disks={"sda": Traffic(1_000, 2_000)},
    interfaces={"eth0": Traffic(100, 200, 1)},
    temperatures={"coretemp:0": 41.5},
    processes={(1, 0.0): Process("init", 1.0, 100), (7, 5.0): Process("java", 10.0, 5_000)},
)
NOW = replace(
    BEFORE,
    at_s=102.0,
    cores=(CpuTime(11.0, 102.0), CpuTime(20.0, 102.0)),
    disks={"sda": Traffic(5_000, 2_000)},
    interfaces={"eth0": Traffic(700, 400, 3)},
    processes={
        (1, 0.0): Process("init", 1.0, 100),
        (7, 5.0): Process("java", 11.0, 5_000),
        (8, 101.0): Process("java", 1.0, 3_000),
    },
)


def _told(before: Snapshot, now: Snapshot, **options: Any) -> dict[tuple[str, str], float]:
    return {(part, metric): value for part, metric, _, value in samples(before, now, **options)}


def test_utilization_is_the_busy_share_of_the_time_between() -> None:
    told = _told(BEFORE, NOW)

    assert told["cpu=0", "system.cpu.utilization"] == 0.5
    assert told["cpu=1", "system.cpu.utilization"] == 0.0
    assert told["", "system.cpu.utilization"] == 0.25


def test_counters_become_rates_over_the_time_between() -> None:
    told = _told(BEFORE, NOW)

    assert told["device=sda", "system.disk.io.read"] == 2_000.0
    assert told["device=sda", "system.disk.io.write"] == 0.0
    assert told["interface=eth0", "system.network.io.receive"] == 300.0
    assert told["interface=eth0", "system.network.errors"] == 1.0


def test_a_counter_that_was_reset_gives_no_rate_this_time() -> None:
    told = _told(NOW, replace(BEFORE, at_s=104.0))

    assert ("device=sda", "system.disk.io.read") not in told
    assert told["device=sda", "system.disk.io.write"] == 0.0


def test_what_was_not_there_before_gives_no_rate_yet() -> None:
    assert not any(part.startswith("device=") for part, _ in _told(replace(BEFORE, disks={}), NOW))


def test_space_is_told_in_bytes_and_as_a_share() -> None:
    told = _told(BEFORE, NOW)

    assert told["", "system.memory.usage"] == 6_000
    assert told["", "system.memory.utilization"] == 0.6
    assert told["mount=/", "system.filesystem.utilization"] == 0.25


def test_a_machine_without_swap_tells_none() -> None:
    assert not any(metric.startswith("system.paging") for _, metric in _told(BEFORE, NOW))
    assert _told(BEFORE, replace(NOW, swap=Space(1, 4)))["", "system.paging.utilization"] == 0.25


def test_processes_of_one_name_are_one() -> None:
    told = _told(BEFORE, NOW)

    assert told["process=java", "process.memory.usage"] == 8_000
    # Two CPU seconds in two seconds on two cores.
    assert told["process=java", "process.cpu.utilization"] == 0.5
    assert ("process=init", "process.cpu.utilization") not in told


def test_only_the_top_processes_are_told() -> None:
    told = _told(BEFORE, NOW, processes=1)

    assert ("process=java", "process.memory.usage") in told
    assert ("process=init", "process.memory.usage") not in told
    assert not any(part.startswith("process=") for part, _ in _told(BEFORE, NOW, processes=0))


def test_the_parts_of_a_machine_are_bounded() -> None:
    many = {f"loop{n:03d}": Space(n, n + 1) for n in range(100)}
    told = _told(BEFORE, replace(NOW, filesystems=many))

    mounts = {part for part, _ in told if part.startswith("mount=")}
    assert len(mounts) == MAX_PARTS
    assert "mount=loop099" in mounts


@given(st.text(max_size=100))
def test_any_name_of_a_part_is_one_that_a_worker_accepts(name: str) -> None:
    now = replace(NOW, filesystems={name: Space(1, 2)})

    for part, metric, unit, _ in samples(BEFORE, now):
        assert fault_of_series(SeriesKey("default", f"host/{part}", metric, (("unit", unit),))) is None


def test_no_time_between_gives_no_rates_and_no_error() -> None:
    told = _told(BEFORE, BEFORE)

    assert ("", "system.cpu.utilization") not in told
    assert told["", "system.memory.usage"] == 6_000


@pytest.mark.parametrize("metric", ["system.cpu.utilization", "system.memory.usage", "system.uptime"])
def test_this_machine_tells_about_itself(metric: str) -> None:
    before = take_snapshot()
    now = replace(take_snapshot(), at_s=before.at_s + 1.0, cores=before.cores)
    busier = tuple(CpuTime(core.busy_s + 0.5, core.total_s + 1.0) for core in before.cores)

    assert _told(before, replace(now, cores=busier))["", metric] > 0
