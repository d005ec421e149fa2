"""CPU seconds of the processes that take part in a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

import psutil

from infra.stack.process import ServiceProcess
from infra.stack.state import State
from streams.settings import state_dir

SERVICES = {"broker": "kafka", "postgres": "timescaledb"}


def service_pids() -> dict[str, list[int]]:
    """Return the processes of the local stack; none where it runs in containers or elsewhere."""
    state = State(state_dir())
    pids = {name: ServiceProcess(state.lock_file(service)).pid() for name, service in SERVICES.items()}
    return {name: [pid] for name, pid in pids.items() if pid is not None}


class CpuMeter:
    """Reads the CPU seconds that named groups of processes have used, their children included.

    A process that ended counts with its parent once that has waited for it, as Postgres does for
    its sessions.
    """

    def __init__(self, groups: Mapping[str, Sequence[int]]) -> None:
        self._groups = groups

    def read(self) -> dict[str, float]:
        """Return the CPU seconds used so far, by group."""
        return {name: sum(map(_tree_cpu_s, pids)) for name, pids in self._groups.items()}


def _tree_cpu_s(pid: int) -> float:
    total_s = 0.0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total_s += times.user + times.system + times.children_user + times.children_system
    return total_s


def own_cpu_s() -> float:
    """Return the CPU seconds of this process, without its children."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)
