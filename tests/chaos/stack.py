"""A Kafka, a TimescaleDB and a Redis to break: never those that anybody works with."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console

from infra.stack.endpoints import SERVICES, addresses
from infra.stack.native import Native
from infra.stack.process import ServiceProcess
from infra.stack.progress import Progress
from infra.stack.roles import ADMIN, database_url
from infra.stack.state import State
from streams.errors import UserError
from streams.settings import Settings
from streams.worker import lock_directory

SIGNAL_WORKS_WITHIN_S = 30.0


class PrivateStack:
    """A native stack in a directory of its own; it and all it holds are gone when the context ends.

    Downloads are those of the user's cache. What a killed run left there is removed at the start.
    """

    def __init__(self, directory: Path, console: Console) -> None:
        self._directory = directory
        self._console = console
        self._cleanup = ExitStack()

    def __enter__(self) -> PrivateStack:
        self._directory.mkdir(parents=True, exist_ok=True)
        lock = self._cleanup.enter_context((self._directory / "chaos.lock").open("a"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                f"another run of chaos works in {self._directory}",
                hint="Wait for it, or set STREAMGAUGE_STATE_DIR.",
            ) from error
        self._state = State(self._directory)
        self._native = Native(self._state, Progress(self._console))
        self._destroy()
        self._cleanup.callback(self._destroy)
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    @property
    def settings(self) -> Settings:
        """Settings that lead to it."""
        found: Any = addresses(self._state)
        return Settings(**found)

    def admin_dsn(self, database: str) -> str:
        """Return how the database server's administrator connects to ``database``."""
        where = f"127.0.0.1:{self._state.ports['timescaledb']}"
        return database_url(where, ADMIN, self._state.secret(ADMIN), database)

    def up(self, *services: str) -> None:
        """Start what does not run, and wait until it serves."""
        dead = [name for name in services or SERVICES if self._process(name).pid() is None]
        with self._state.lock(lambda: None):
            self._native.start(dead)

    def pid(self, service: str) -> int:
        """Return the process of a service that runs."""
        pid = self._process(service).pid()
        assert pid is not None, f"{service} does not run"
        return pid

    def end(self, service: str, number: signal.Signals) -> None:
        """Send a signal that ends a service, and wait until it and all its children are gone."""
        os.kill(self.pid(service), number)
        assert self._process(service).ends_within(SIGNAL_WORKS_WITHIN_S), f"{service} does not end"

    def data(self, service: str) -> Path:
        """Return the directory of a service's data."""
        return self._state.data(service)

    def _process(self, service: str) -> ServiceProcess:
        return ServiceProcess(self._state.lock_file(service))

    def _destroy(self) -> None:
        with self._state.lock(lambda: None):
            for service in SERVICES:
                self._process(service).stop([signal.SIGKILL], SIGNAL_WORKS_WITHIN_S)
            if "kafka" in self._state.ports:
                shutil.rmtree(lock_directory(self.settings), ignore_errors=True)
            self._state.forget()
