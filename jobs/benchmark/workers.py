"""Worker processes on a topic and a database of their own, and what their pages say."""

from __future__ import annotations

import socket
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

from prometheus_client.parser import text_string_to_metric_families

from jobs.companion import Companion
from jobs.scratch import as_writer
from streams.errors import UserError
from streams.settings import Settings, state_dir

ANSWER_S = 10.0
STOP_WITHIN_S = 12.0
READY_WITHIN_S = 60.0
LOOK_EVERY_S = 0.05
COMMAND = (sys.executable, "-m", "streams.worker")


class Stages(NamedTuple):
    """Seconds by stage, since the worker began: elapsed, and of CPU."""

    elapsed_s: Mapping[str, float]
    cpu_s: Mapping[str, float]


class BenchmarkWorker(Companion):
    """One worker process whose pages are known."""

    def __init__(
        self, number: int, topic: str, dsn: str, group: str, port: int, dead_letters: str | None = None
    ) -> None:
        settings = Settings()
        self._pages = f"http://127.0.0.1:{port}"
        environment = {
            "STREAMGAUGE_KAFKA": settings.kafka,
            "STREAMGAUGE_DATABASE_URL": dsn,
            "STREAMGAUGE_WRITER_URL": as_writer(dsn),
            "STREAMGAUGE_REDIS_URL": settings.redis_url.get_secret_value(),
            "STREAMGAUGE_READINGS_TOPIC": topic,
            "STREAMGAUGE_DEAD_LETTERS_TOPIC": dead_letters or settings.dead_letters_topic,
            "STREAMGAUGE_GROUP": group,
            "STREAMGAUGE_METRICS_PORT": str(port),
        }
        log = state_dir() / "logs" / f"benchmark-worker-{number}.log"
        super().__init__("worker", COMMAND, log, environment)

    def stages(self) -> Stages:
        """Return what its stages took so far."""
        with urllib.request.urlopen(f"{self._pages}/metrics", timeout=ANSWER_S) as page:
            return stages_of(page.read().decode())

    def peak_memory_bytes(self) -> int:
        """Return the most memory that it had at once, as Linux tells it."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        (peak,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return 1024 * int(peak.split()[1])

    def ready(self) -> bool:
        """Tell whether it holds partitions."""
        try:
            with urllib.request.urlopen(f"{self._pages}/readyz", timeout=ANSWER_S):
                return True
        except OSError:
            return False


def stages_of(page: str) -> Stages:
    """Read the seconds by stage from a worker's page.

    >>> from prometheus_client import CollectorRegistry, generate_latest
    >>> from streams.stopwatch import Stopwatch
    >>> registry = CollectorRegistry()
    >>> Stopwatch(registry).add_cpu("fetch", 1.5)
    >>> stages_of(generate_latest(registry).decode()).cpu_s
    {'fetch': 1.5}
    """
    found: dict[str, dict[str, float]] = {
        "streamgauge_stage_seconds": {},
        "streamgauge_stage_cpu_seconds": {},
    }
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if family.name in found and sample.name.endswith("_total"):
                found[family.name][sample.labels["stage"]] = sample.value
    return Stages(*found.values())


def stages_together(workers: Sequence[BenchmarkWorker]) -> Stages:
    """Return what the stages of all workers took."""
    all_stages = [worker.stages() for worker in workers]
    elapsed_s, cpu_s = Counter[str](), Counter[str]()
    for stages in all_stages:
        elapsed_s.update(stages.elapsed_s)
        cpu_s.update(stages.cpu_s)
    return Stages(elapsed_s, cpu_s)


def wait_until_ready(workers: Sequence[BenchmarkWorker]) -> None:
    """Return once every worker holds partitions. Raises UserError when one ends or does not get ready."""
    deadline_s = time.monotonic() + READY_WITHIN_S
    while not all(worker.ready() for worker in workers):
        for worker in workers:
            worker.check()
        if time.monotonic() > deadline_s:
            raise UserError(
                f"the workers were not ready within {READY_WITHIN_S:.0f} s", hint=f"See {workers[0].log}"
            )
        time.sleep(LOOK_EVERY_S)


@contextmanager
def workers_on(
    topic: str, dsn: str, count: int, dead_letters: str | None = None
) -> Iterator[list[BenchmarkWorker]]:
    """Start workers in a group of their own, and stop them afterwards.

    Dead letters are told on the topic ``dead_letters``; without one, on that of the settings.
    """
    group = f"{topic}.{uuid4().hex[:6]}"
    with ExitStack() as undo:
        started = []
        for number, port in enumerate(_free_ports(count)):
            worker = BenchmarkWorker(number, topic, dsn, group, port, dead_letters)
            undo.callback(worker.stop, STOP_WITHIN_S)
            started.append(worker)
        yield started


def _free_ports(count: int) -> list[int]:
    with ExitStack() as sockets:
        taken = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in taken]
