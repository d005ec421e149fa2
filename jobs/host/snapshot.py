"""Raw figures of this machine at one instant, as plain data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil

_BLOCK_DEVICES = Path("/sys/block")


class CpuTime(NamedTuple):
    """Seconds a core was busy, and seconds in all."""

    busy_s: float
    total_s: float


class Space(NamedTuple):
    """Bytes used, and bytes there are."""

    used: int
    total: int


class Traffic(NamedTuple):
    """Bytes in and out since boot, and errors and drops where they are counted."""

    inward: int
    outward: int
    errors: int = 0


class Process(NamedTuple):
    """Name, CPU seconds used so far, and resident memory in bytes."""

    name: str
    cpu_s: float
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything measured at once. ``at_s`` is a monotonic clock; counters run since boot."""

    at_s: float
    cores: tuple[CpuTime, ...]
    memory: Space
    memory_available: int
    swap: Space
    load: tuple[float, float, float]
    uptime_s: float
    filesystems: Mapping[str, Space] = field(default_factory=dict)
    disks: Mapping[str, Traffic] = field(default_factory=dict)
    interfaces: Mapping[str, Traffic] = field(default_factory=dict)
    temperatures: Mapping[str, float] = field(default_factory=dict)
    processes: Mapping[tuple[int, float], Process] = field(default_factory=dict)


def take_snapshot() -> Snapshot:
    """Measure this machine now. What the system does not tell is left out."""
    memory, swap = psutil.virtual_memory(), psutil.swap_memory()
    return Snapshot(
        at_s=time.monotonic(),
        cores=tuple(map(_cpu_time, psutil.cpu_times(percpu=True))),
        memory=Space(memory.total - memory.available, memory.total),
        memory_available=memory.available,
        swap=Space(swap.used, swap.total),
        load=psutil.getloadavg(),
        uptime_s=time.time() - psutil.boot_time(),
        filesystems=_filesystems(),
        disks=_disks(),
        interfaces=_interfaces(),
        temperatures=_temperatures(),
        processes=_processes(),
    )


def _cpu_time(times: Iterable[float]) -> CpuTime:
    named = times._asdict()  # type: ignore[attr-defined]  # a named tuple whose fields depend on the system
    # Linux counts the time of guests in user and nice as well.
    total_s = sum(named.values()) - named.get("guest", 0.0) - named.get("guest_nice", 0.0)
    return CpuTime(total_s - named["idle"] - named.get("iowait", 0.0), total_s)


def _filesystems() -> dict[str, Space]:
    found: dict[str, Space] = {}
    devices: set[str] = set()
    for partition in sorted(psutil.disk_partitions(all=False), key=lambda each: len(each.mountpoint)):
        if partition.device in devices:
            continue
        try:
            usage = psutil.disk_usage(partition.mountpoint)
        except OSError:  # not ours to see, or gone
            continue
        if usage.total:
            devices.add(partition.device)
            found[partition.mountpoint] = Space(usage.used, usage.total)
    return found


def _disks() -> dict[str, Traffic]:
    counters = psutil.disk_io_counters(perdisk=True) or {}
    return {
        name: Traffic(disk.read_bytes, disk.write_bytes)
        for name, disk in counters.items()
        if disk.read_bytes + disk.write_bytes and _is_whole_disk(name)
    }


def _is_whole_disk(name: str) -> bool:
    """Partitions are left out, or their bytes would be counted twice."""
    return not _BLOCK_DEVICES.is_dir() or (_BLOCK_DEVICES / name).exists()


def _interfaces() -> dict[str, Traffic]:
    return {
        name: Traffic(net.bytes_recv, net.bytes_sent, net.errin + net.errout + net.dropin + net.dropout)
        for name, net in psutil.net_io_counters(pernic=True).items()
        if net.bytes_recv + net.bytes_sent
    }


def _temperatures() -> dict[str, float]:
    sensors: dict[str, list[Any]] = getattr(psutil, "sensors_temperatures", dict)()
    return {
        f"{chip}:{sensor.label or number}": sensor.current
        for chip, found in sensors.items()
        for number, sensor in enumerate(found)
    }


def _processes() -> dict[tuple[int, float], Process]:
    found = {}
    for process in psutil.process_iter(["name", "cpu_times", "memory_info", "create_time"]):
        info = process.info
        if info["cpu_times"] and info["memory_info"]:
            cpu_s = info["cpu_times"].user + info["cpu_times"].system
            found[process.pid, info["create_time"]] = Process(info["name"], cpu_s, info["memory_info"].rss)
    return found
