"""What a checkout remembers of its stack: addresses, ports and passwords, in one private file."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.stack.ports import free_port

SECRETS = ("postgres", "owner", "writer", "reader", "redis")


class State:
    """The stack of one checkout, kept in ``stack.json`` (mode 0600) of its state directory.

    ``env`` holds the addresses of what runs now and is what :class:`streams.settings.Settings`
    reads; ``ports`` and ``secrets`` outlive ``stack down``. Safe to use from several threads.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._guard = threading.Lock()
        try:
            stored: dict[str, Any] = json.loads(self.file.read_text())
        except FileNotFoundError:
            stored = {}
        self.mode: str | None = stored.get("mode")
        self.env: dict[str, str] = stored.get("env", {})
        self.ports: dict[str, int] = stored.get("ports", {})
        self.secrets: dict[str, str] = stored.get("secrets", {})

    @property
    def file(self) -> Path:
        """Where the state is kept."""
        return self.directory / "stack.json"

    def data(self, service: str) -> Path:
        """Return the directory of a service's data, made if it is missing."""
        return self._private(self.directory / "data" / service)

    def log(self, service: str) -> Path:
        """Return the file that a service logs to; its directory exists."""
        return self._private(self.directory / "logs") / f"{service}.log"

    def lock_file(self, service: str) -> Path:
        """Return the file that a running service holds locked; its directory exists."""
        return self._private(self.directory / "run") / f"{service}.pid"

    def secret(self, name: str) -> str:
        """Return the password of ``name``, made up at random when it is first asked for."""
        with self._guard:
            if name not in self.secrets:
                self.secrets[name] = secrets.token_urlsafe(24)
                self._write()
            return self.secrets[name]

    def choose_port(self, name: str) -> int:
        """Return a free loopback port for a service about to start: the last one if still free."""
        with self._guard:
            taken = set(self.ports.values()) - {self.ports.get(name)}
            port = free_port(self.ports.get(name), seed=f"{self.directory}/{name}", taken=taken)
            if port != self.ports.get(name):
                self.ports[name] = port
                self._write()
            return port

    def publish(self, mode: str | None, env: dict[str, str]) -> None:
        """Announce the addresses of what runs now."""
        with self._guard:
            self.mode, self.env = mode, env
            self._write()

    @contextmanager
    def lock(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the stack for one command at a time; ``waiting`` is called if another one has it."""
        with (self._private(self.directory) / "stack.lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            self.__init__(self.directory)  # type: ignore[misc]
            yield

    def _write(self) -> None:
        self._private(self.directory)
        draft = self.file.with_suffix(".tmp")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            json.dump(
                {"mode": self.mode, "env": self.env, "ports": self.ports, "secrets": self.secrets},
                handle,
                indent=1,
            )
        draft.replace(self.file)

    @staticmethod
    def _private(directory: Path) -> Path:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory
