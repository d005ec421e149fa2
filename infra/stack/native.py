"""Services as the user's own processes, started side by side."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from infra.stack.backend import Status
from infra.stack.commands import tail
from infra.stack.endpoints import SERVICES, answer, location, serve
from infra.stack.errors import NotReady, StackError
from infra.stack.kafka import Kafka
from infra.stack.ports import is_free
from infra.stack.process import ServiceProcess
from infra.stack.progress import Progress
from infra.stack.readiness import wait_until_ready
from infra.stack.redis import Redis
from infra.stack.service import Service
from infra.stack.state import State
from infra.stack.timescaledb import TimescaleDb

READY_WITHIN_S = 120.0
SIGNAL_WORKS_WITHIN_S = 30.0
STARTS = 3

KINDS: Final[dict[str, Callable[[State], Service]]] = {
    "kafka": Kafka,
    "timescaledb": TimescaleDb,
    "redis": Redis,
}


class Native:
    """The stack as processes of this user."""

    def __init__(self, state: State, progress: Progress) -> None:
        self._state = state
        self._progress = progress
        self._cancelled = threading.Event()

    def start(self, names: Collection[str]) -> None:
        """Start what does not run and wait until it serves."""
        self._each(self._start, names)

    def stop(self) -> None:
        """Stop whatever runs; the data stays."""
        self._each(self._stop, SERVICES)

    def remove(self) -> None:
        """Remove nothing: all data is in the state directory."""

    def status(self, names: Collection[str]) -> list[Status]:
        """Ask each service whether it serves."""
        return [self._status(name) for name in names]

    def follow(self, names: Collection[str], lines: int, *, forever: bool) -> None:
        """Print the last ``lines`` of each log, and what is added to them ``forever``."""
        logs = [str(log) for log in map(self._state.log, names) if log.exists()]
        if not logs:
            raise StackError("nothing was logged yet", hint="Start the stack: streamgauge stack up")
        subprocess.run(["tail", f"--lines={lines}", *(["-F"] if forever else []), "--", *logs], check=False)

    def _each(self, action: Callable[[Service], None], names: Collection[str]) -> None:
        """Do ``action`` for all services at once; raise one error that tells of every failure."""
        if not names:
            return
        with ThreadPoolExecutor(max_workers=len(names)) as pool:
            outcomes = [pool.submit(self._named, action, KINDS[name](self._state)) for name in names]
            try:
                failures = list(filter(None, [outcome.result() for outcome in outcomes]))
            except KeyboardInterrupt:
                self._cancelled.set()
                raise
        if failures:
            hints = dict.fromkeys(failure.hint for failure in failures if failure.hint)
            raise StackError("\n".join(map(str, failures)), hint="\n".join(hints))

    def _named(self, action: Callable[[Service], None], service: Service) -> StackError | None:
        try:
            action(service)
        except StackError as error:
            self._progress.failed(service.name, "failed")
            return StackError(f"{service.name}: {error}", hint=error.hint)
        return None

    def _start(self, service: Service) -> None:
        began = time.monotonic()
        process = self._process(service.name)
        ran = process.pid() is not None
        for _ in range(STARTS):
            if process.pid() is None:
                self._launch(service, process)
            if self._serves(service, process):
                break
            # It ended. If somebody took a port after it was chosen, another one will do.
            if all(is_free(self._state.ports[port]) for port in service.ports):
                raise StackError(f"it ended before it served\n{tail(self._state.log(service.name))}")
        else:
            raise StackError("its ports are taken again and again; see: ss -tlnp")
        verb = "runs already" if ran else f"ready in {time.monotonic() - began:.1f} s"
        self._progress.done(service.name, f"{verb}, {location(self._state, service.name)}")

    def _launch(self, service: Service, process: ServiceProcess) -> None:
        # Children of a killed service are of no use, and must not meet its successor.
        process.stop([signal.SIGKILL], SIGNAL_WORKS_WITHIN_S)
        for port in service.ports:
            self._state.choose_port(port)
        launch = service.prepare(lambda text: self._progress.step(service.name, text))
        self._progress.step(service.name, "starting")
        log = self._state.log(service.name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        process.start(launch.argv, log, launch.cwd)

    def _serves(self, service: Service, process: ServiceProcess) -> bool:
        """Wait until the service serves; tell False if its process ends first."""

        def hopeful() -> bool:
            if self._cancelled.is_set():
                raise StackError("interrupted")
            return process.running()

        def check() -> None:
            self._check_listens(service.name, process)
            serve(self._state, service.name)

        try:
            return wait_until_ready(check, READY_WITHIN_S, hopeful)
        except StackError as error:
            raise StackError(f"{error}\n{tail(self._state.log(service.name))}", hint=error.hint) from error

    def _stop(self, service: Service) -> None:
        process = self._process(service.name)
        if not process.running():
            self._progress.done(service.name, "not running")
            return
        self._progress.step(service.name, "stopping")
        process.stop(service.stop_signals, SIGNAL_WORKS_WITHIN_S)
        self._progress.done(service.name, "stopped")

    def _status(self, name: str) -> Status:
        process = self._process(name)
        pid = process.pid()
        if pid is None:
            return Status(name, "native", "stopped")
        where = location(self._state, name)
        try:
            self._check_listens(name, process)
            answer(self._state, name)
        except NotReady as error:
            return Status(name, "native", "failing", where, pid, str(error))
        return Status(name, "native", "serving", where, pid)

    def _check_listens(self, name: str, process: ServiceProcess) -> None:
        # Kafka has no password: without this, what answers could be the broker of another checkout.
        if not process.listens_on(self._state.ports[name]):
            raise NotReady("it does not listen yet")

    def _process(self, name: str) -> ServiceProcess:
        return ServiceProcess(self._state.lock_file(name))
