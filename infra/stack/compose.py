"""The stack in containers, by ``docker-compose.yml`` and the engine's own client."""

from __future__ import annotations

import os
import subprocess
import zlib
from collections.abc import Collection

from infra.stack.backend import Status
from infra.stack.commands import run
from infra.stack.endpoints import SERVICES, answer, location, serve
from infra.stack.errors import NotReady, StackError
from infra.stack.progress import Progress
from infra.stack.readiness import wait_until_ready
from infra.stack.roles import ADMIN, ROLES
from infra.stack.state import State
from streams.settings import PROJECT_ROOT

FILE = PROJECT_ROOT / "docker-compose.yml"
ENGINE_ANSWERS_WITHIN_S = 15
HEALTHY_WITHIN_S = 300
READY_WITHIN_S = 60.0
PASSWORDS = (ADMIN, *ROLES, "redis", "grafana")
PORTS = (*SERVICES, "prometheus", "grafana")


def engine_answers() -> bool:
    """Tell whether a container engine with the compose plugin answers."""
    try:
        for question in ("compose version", "info"):
            subprocess.run(
                ["docker", *question.split()],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=ENGINE_ANSWERS_WITHIN_S,
                check=True,
            )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


class Compose:
    """The stack as containers: one compose project per checkout."""

    def __init__(self, state: State, progress: Progress) -> None:
        self._state = state
        self._progress = progress

    def command(self, *arguments: str) -> list[str]:
        """Return a ``docker compose`` command line for this checkout."""
        project = f"streamgauge-{zlib.crc32(str(self._state.directory).encode()):08x}"
        return ["docker", "compose", "--project-name", project, "--file", str(FILE), *arguments]

    def environment(self) -> dict[str, str]:
        """Return what ``docker-compose.yml`` takes from its environment: ports and passwords."""
        for name in set(PORTS) - set(self._state.ports):
            self._state.choose_port(name)
        ports = {f"STREAMGAUGE_{name.upper()}_PORT": str(self._state.ports[name]) for name in PORTS}
        passwords = {f"STREAMGAUGE_{name.upper()}_PASSWORD": self._state.secret(name) for name in PASSWORDS}
        return ports | passwords

    def start(self, names: Collection[str]) -> None:
        """Start what does not run and wait until it serves."""
        if not names:
            return
        for name in set(names) - self._running():
            self._state.choose_port(name)
        for name in names:
            self._progress.step(name, "starting")
        self._run("up", "--detach", "--wait", "--wait-timeout", str(HEALTHY_WITHIN_S), *names)
        for name in names:
            self._wait_for(name)
            self._progress.done(name, f"ready, {location(self._state, name)}")

    def stop(self) -> None:
        """Remove the containers; the volumes with the data stay."""
        self._run("--profile", "*", "down")
        self._progress.done("containers", "stopped")

    def remove(self) -> None:
        """Remove the volumes with the data."""
        self._run("--profile", "*", "down", "--volumes")

    def status(self, names: Collection[str]) -> list[Status]:
        """Ask each service whether it serves."""
        running = self._running()
        return [self._status(name, running=name in running) for name in names]

    def follow(self, names: Collection[str], lines: int, *, forever: bool) -> None:
        """Print the last ``lines`` of each log, and what is added to them ``forever``."""
        options = [f"--tail={lines}", *(["--follow"] if forever else [])]
        self.call("logs", *options, *names)

    def call(self, *arguments: str) -> int:
        """Run any ``docker compose`` command for this checkout; return its exit code."""
        return subprocess.run(
            self.command(*arguments), env=self._process_environment(), check=False
        ).returncode

    def _process_environment(self) -> dict[str, str]:
        return os.environ | self.environment()

    def _run(self, *arguments: str) -> None:
        log = self._state.log("compose")
        run(self.command(*arguments), log, PROJECT_ROOT, env=self._process_environment())

    def _running(self) -> set[str]:
        done = subprocess.run(
            self.command("ps", "--services", "--status=running"),
            env=self._process_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        return set(done.stdout.split())

    def _wait_for(self, name: str) -> None:
        try:
            wait_until_ready(lambda: serve(self._state, name), READY_WITHIN_S, hopeful=lambda: True)
        except StackError as error:
            raise StackError(f"{name}: {error}", hint=f"Look at: streamgauge stack logs {name}") from error

    def _status(self, name: str, *, running: bool) -> Status:
        if not running:
            return Status(name, "docker", "stopped")
        where = location(self._state, name)
        try:
            answer(self._state, name)
        except NotReady as error:
            return Status(name, "docker", "failing", where, detail=str(error))
        return Status(name, "docker", "serving", where)
