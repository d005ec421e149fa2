"""From two snapshots of a machine to its readings: pure arithmetic.

Metric names follow OpenTelemetry's semantic conventions for system, process and hardware metrics,
units are UCUM. Where OpenTelemetry counts bytes since boot, these are rates (``By/s``). What
OpenTelemetry tells apart by attributes, a core or a disk, is a part of the host: ``cpu=0``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from jobs.host.snapshot import CpuTime, Process, Snapshot, Space, Traffic

MAX_PARTS = 16
"""So many disks, interfaces, file systems and sensors of one machine at most: those that carry most."""

MAX_PART_CHARS = 64

WORTH_TELLING = 0.01
"""A smaller share of CPU time is not told, or every kernel thread would be a series in time."""

Key = TypeVar("Key")
Figure = TypeVar("Figure")


class Sample(NamedTuple):
    """One reading of a machine; ``part`` is empty for the machine as a whole."""

    part: str
    metric: str
    unit: str
    value: float


def samples(before: Snapshot, now: Snapshot, processes: int = 5) -> list[Sample]:
    """Return the readings of the machine at ``now``; rates are over the time since ``before``.

    A counter that ran backwards was reset and gives no rate this time. Processes are summed by
    name; those of the ``processes`` names that use most CPU, and most memory, are told.
    """
    return [
        *_cpu(before.cores, now.cores),
        *(
            Sample("", f"system.cpu.load_average.{m}m", "1", v)
            for m, v in zip((1, 5, 15), now.load, strict=True)
        ),
        *_space("", "system.memory", now.memory),
        Sample("", "system.linux.memory.available", "By", now.memory_available),
        *(_space("", "system.paging", now.swap) if now.swap.total else ()),
        Sample("", "system.uptime", "s", now.uptime_s),
        Sample("", "system.process.count", "{process}", len(now.processes)),
        *_filesystems(now.filesystems),
        *_disks(before, now),
        *_interfaces(before, now),
        *_temperatures(now.temperatures),
        *_processes(before, now, processes),
    ]


def rate(before: float, now: float, elapsed_s: float) -> float | None:
    """Return the rate of a counter, or None when it was reset or no time passed.

    >>> rate(100, 300, 2.0), rate(300, 100, 2.0)
    (100.0, None)
    """
    return (now - before) / elapsed_s if elapsed_s > 0 and now >= before else None


def _cpu(before: Iterable[CpuTime], now: Iterable[CpuTime]) -> Iterator[Sample]:
    spent = [CpuTime(b.busy_s - a.busy_s, b.total_s - a.total_s) for a, b in zip(before, now, strict=False)]
    whole = CpuTime(sum(core.busy_s for core in spent), sum(core.total_s for core in spent))
    for part, core in [("", whole), *((f"cpu={number}", core) for number, core in enumerate(spent))]:
        if core.total_s > 0:
            yield Sample(part, "system.cpu.utilization", "1", min(1.0, max(0.0, core.busy_s / core.total_s)))


def _space(part: str, metric: str, space: Space) -> list[Sample]:
    return [
        Sample(part, f"{metric}.usage", "By", space.used),
        Sample(part, f"{metric}.utilization", "1", space.used / space.total),
    ]


def _filesystems(found: Mapping[str, Space]) -> Iterator[Sample]:
    for mount, space in _largest(found, lambda each: each.total):
        yield from _space(_part("mount", mount), "system.filesystem", space)


def _disks(before: Snapshot, now: Snapshot) -> Iterator[Sample]:
    for device, old, new in _pairs(before.disks, now.disks):
        names = ("system.disk.io.read", "system.disk.io.write")
        yield from _traffic(_part("device", device), names, old, new, now.at_s - before.at_s)


def _interfaces(before: Snapshot, now: Snapshot) -> Iterator[Sample]:
    elapsed_s = now.at_s - before.at_s
    for interface, old, new in _pairs(before.interfaces, now.interfaces):
        part = _part("interface", interface)
        names = ("system.network.io.receive", "system.network.io.transmit")
        yield from _traffic(part, names, old, new, elapsed_s)
        errors = rate(old.errors, new.errors, elapsed_s)
        if errors is not None:
            yield Sample(part, "system.network.errors", "{error}/s", errors)


def _traffic(
    part: str, metrics: tuple[str, str], old: Traffic, new: Traffic, elapsed_s: float
) -> Iterator[Sample]:
    for metric, before, now in zip(metrics, old[:2], new[:2], strict=True):
        per_s = rate(before, now, elapsed_s)
        if per_s is not None:
            yield Sample(part, metric, "By/s", per_s)


def _temperatures(found: Mapping[str, float]) -> Iterator[Sample]:
    for sensor, celsius in sorted(found.items())[:MAX_PARTS]:
        yield Sample(_part("sensor", sensor), "hw.temperature", "Cel", celsius)


def _processes(before: Snapshot, now: Snapshot, most: int) -> Iterator[Sample]:
    elapsed_s = (now.at_s - before.at_s) * max(1, len(now.cores))
    busy: dict[str, float] = {}
    memory: dict[str, float] = {}
    for key, process in now.processes.items():
        began_s = before.processes.get(key, Process("", 0.0, 0)).cpu_s
        used = rate(began_s, process.cpu_s, elapsed_s)
        # Kernel threads are numbered behind a slash; their kind is enough.
        name = process.name.partition("/")[0]
        busy[name] = busy.get(name, 0.0) + (used or 0.0)
        memory[name] = memory.get(name, 0.0) + process.memory
    for name in _top({name: share for name, share in busy.items() if share >= WORTH_TELLING}, most):
        yield Sample(_part("process", name), "process.cpu.utilization", "1", min(1.0, busy[name]))
    for name in _top(memory, most):
        yield Sample(_part("process", name), "process.memory.usage", "By", memory[name])


def _top(figures: Mapping[str, float], most: int) -> list[str]:
    return sorted((name for name in figures if figures[name] > 0), key=lambda n: (-figures[n], n))[:most]


def _largest(found: Mapping[Key, Figure], size: Callable[[Figure], float]) -> list[tuple[Key, Figure]]:
    return sorted(found.items(), key=lambda item: -size(item[1]))[:MAX_PARTS]


def _pairs(
    before: Mapping[str, Traffic], now: Mapping[str, Traffic]
) -> Iterator[tuple[str, Traffic, Traffic]]:
    for name, new in _largest(now, lambda each: each.inward + each.outward):
        if name in before:
            yield name, before[name], new


def _part(kind: str, name: str) -> str:
    return f"{kind}={re.sub(r'[^ -~]', '_', name)[:MAX_PART_CHARS]}"
