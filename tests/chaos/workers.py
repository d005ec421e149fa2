"""The workers of one run: started quickly, and brought back when they die, as a supervisor would."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType

from streams.failpoints import VARIABLE
from tests.chaos import mutants
from tests.workers import WorkerProcess, save_often

BACK_AFTER_S = 0.3
LOOK_EVERY_S = 0.02
FLUSHES: tuple[Mapping[str, str], ...] = ({"STREAMGAUGE_PARALLEL_ROWS": "2"}, {})
"""Every second worker stores even small flushes over two connections, which it would do with large ones."""

JUMPING_CLOCK = "CHAOS_CLOCK"
"""Name in the environment of a worker whose wall clock jumps."""

_JUMPS_S = (0.0, -3_600.0, 86_400.0, -40 * 86_400.0, 5.0)


def become(mutant: str) -> None:
    """Change this process as ``mutant`` says if it is not empty, and its clock as its environment says.

    Detectors are saved often: a run is too short for any to be saved otherwise.
    """
    save_often()
    if JUMPING_CLOCK in os.environ:
        let_the_clock_jump()
    if mutant:
        mutants.apply(mutant)


def let_the_clock_jump() -> None:
    """Make the wall clock of this process jump every half a second, wherever it is read."""
    real = time.time

    def jumping() -> float:
        return real() + _JUMPS_S[int(time.monotonic() * 2) % len(_JUMPS_S)]

    for module in list(sys.modules.values()):
        for name, value in list(vars(module).items()):
            if value is real:
                setattr(module, name, jumping)
    time.time_ns = lambda: int(jumping() * 1e9)


class Worker:
    """One place for a worker, and the process that is in it."""

    def __init__(self, number: int, environment: Mapping[str, str], log: Path, mutant: str) -> None:
        self.number = number
        self.log = log
        self.wanted = True
        self.deaths = 0
        self._environment = environment
        self._mutant = mutant

    def start(self, failpoint: str = "") -> None:
        """Put a process there, with a failpoint or without one."""
        environment = {**self._environment, **({VARIABLE: failpoint} if failpoint else {})}
        self.process = WorkerProcess(environment, self.log, partial(become, self._mutant))

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        self.process.signal(number)

    def stop(self) -> int | None:
        """Ask it to stop for good; return its exit code, None if it did not end in time."""
        self.wanted = False
        return self.process.stop()

    def said(self, words: str) -> bool:
        """Tell whether its log holds ``words``."""
        return self.process.said(words)


class Crew:
    """Workers that are brought back when they die. ``died`` is told of each death as it is noticed."""

    def __init__(
        self, environment: Mapping[str, str], directory: Path, mutant: str, died: Callable[[Worker], None]
    ) -> None:
        self.workers: list[Worker] = []
        self._environment = environment
        self._directory = directory
        self._mutant = mutant
        self._died = died
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def add(self, failpoint: str = "") -> Worker:
        """Start one more worker; with a failpoint until it dies."""
        with self._guard:
            number = len(self.workers)
            log = self._directory / f"worker-{number}.log"
            environment = {**self._environment, **FLUSHES[number % len(FLUSHES)]}
            worker = Worker(number, environment, log, self._mutant)
            worker.start(failpoint)
            self.workers.append(worker)
        return worker

    def __enter__(self) -> Crew:
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._keeper.join()
        for worker in self.workers:
            worker.process.kill()

    def _keep(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            with self._guard:
                dead = [worker for worker in self.workers if worker.wanted and not worker.process.alive]
            for worker in dead:
                worker.deaths += 1
                self._died(worker)
                time.sleep(BACK_AFTER_S)
                if worker.wanted:
                    worker.start()
