"""What a checkout remembers of its stack: addresses, ports and passwords, in one private file."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.stack.errors import StackError
from infra.stack.ports import free_port

PRIVATE = 0o700


class State:
    """The stack of one checkout, kept in ``stack.json`` (mode 0600) of its state directory.

    ``env`` holds the addresses of what runs now and is what :class:`streams.settings.Settings`
    reads; ``mode`` (native or docker), ``ports`` and ``secrets`` outlive ``stack down``. One
    object may be used by several threads; several commands take turns by :meth:`lock`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._guard = threading.Lock()
        self.mode: str | None = None
        self.env: dict[str, str] = {}
        self.ports: dict[str, int] = {}
        self.secrets: dict[str, str] = {}
        self._read()

    @property
    def file(self) -> Path:
        """Where the state is kept."""
        return self.directory / "stack.json"

    def data(self, service: str) -> Path:
        """Return the directory of a service's data."""
        return self.directory / "data" / service

    def log(self, name: str) -> Path:
        """Return the file that a service or a tool logs to."""
        return self.directory / "logs" / f"{name}.log"

    def lock_file(self, service: str) -> Path:
        """Return the file that a running service holds locked."""
        return self.directory / "run" / f"{service}.pid"

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

    def announce(self, mode: str, env: dict[str, str]) -> None:
        """Tell every program of this checkout the addresses of what runs now."""
        with self._guard:
            self.mode, self.env = mode, env
            self._write()

    def forget(self) -> None:
        """Remove data, logs, passwords and ports. Nothing may run."""
        for name in ("data", "logs", "run"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        self.file.unlink(missing_ok=True)
        self._read()

    @contextmanager
    def lock(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the stack for one command at a time; ``waiting`` is called if another one has it."""
        for name in ("data", "logs", "run"):
            (self.directory / name).mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        self.directory.chmod(PRIVATE)
        with (self.directory / "stack.lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            self._read()
            yield

    def _read(self) -> None:
        try:
            stored: dict[str, Any] = json.loads(self.file.read_text())
        except FileNotFoundError:
            stored = {}
        except ValueError as error:
            hint = "Restore it, or remove the directory to start afresh, which loses the stack's data."
            raise StackError(f"{self.file} is damaged: {error}", hint=hint) from error
        self.mode = stored.get("mode")
        self.env = stored.get("env", {})
        self.ports = stored.get("ports", {})
        self.secrets = stored.get("secrets", {})

    def _write(self) -> None:
        content = {"mode": self.mode, "env": self.env, "ports": self.ports, "secrets": self.secrets}
        write_private(self.file, json.dumps(content, indent=1))


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, all of it or nothing."""
    draft = file.with_name(f"{file.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    draft.replace(file)
