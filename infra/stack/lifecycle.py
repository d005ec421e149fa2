"""Bring the stack of this checkout up and down."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console

from infra.stack.backend import Backend, Status
from infra.stack.compose import Compose, engine_answers
from infra.stack.endpoints import SERVICES, addresses
from infra.stack.errors import StackError
from infra.stack.external import External, find_external
from infra.stack.native import Native
from infra.stack.progress import Progress
from infra.stack.state import State
from streams.settings import state_dir

MODES: Final[dict[str, Callable[[State, Progress], Backend]]] = {"native": Native, "docker": Compose}


class Stack:
    """The stack of one checkout.

    ``STREAMGAUGE_STACK`` says how its services run: ``native``, ``docker``, or ``auto``, which is how
    they ran last, else in containers where an engine answers, else native.
    """

    def __init__(self, console: Console) -> None:
        self._state = State(state_dir())
        self._console = console
        self._progress = Progress(console)

    def up(self) -> dict[str, str]:
        """Start what does not run, wait until everything serves, and return all addresses."""
        with self._locked():
            mode = self._mode()
            # Said before anything starts, so that down finds what a failed or killed up left behind.
            self._state.announce(mode, self._state.env)
            external = self._external()
            for service in external.values():
                service.check()
                self._progress.done(service.name, f"external, {service.address}")
            self._backend(mode).start(self._own(external))
            # External addresses hold for whoever has them in the environment, and for nobody else.
            self._state.announce(mode, self._state.env | addresses(self._state, self._own(external)))
            return self.addresses()

    def down(self) -> None:
        """Stop what runs here; the data stays, and so do external services."""
        with self._locked():
            self._stop()

    def destroy(self) -> None:
        """Stop what runs here and remove its data, logs, ports and passwords."""
        with self._locked():
            self._stop()
            if self._state.mode:
                self._backend(self._state.mode).remove()
            self._state.forget()

    def status(self) -> list[Status]:
        """Ask every service whether it serves."""
        external = self._external()
        own = self._backend(self._mode()).status(self._own(external))
        return [*(service.status() for service in external.values()), *own]

    def addresses(self) -> dict[str, str]:
        """Return the addresses of what runs, as :meth:`up` left them, and of external services."""
        return self._state.env | {
            name: value for service in self._external().values() for name, value in service.addresses.items()
        }

    def logs(self, service: str | None, lines: int, *, follow: bool) -> None:
        """Print the end of the logs, and what is added to them while it ``follow``\\ s."""
        if service is not None and service not in SERVICES:
            raise StackError(f"there is no service {service}", hint=f"Choose one of: {', '.join(SERVICES)}")
        names = [service] if service else SERVICES
        self._backend(self._mode()).follow(names, lines, forever=follow)

    def compose(self, arguments: list[str]) -> int:
        """Run any ``docker compose`` command on this checkout's containers; return its exit code."""
        if self._mode() != "docker":
            hint = "Start it in containers: STREAMGAUGE_STACK=docker streamgauge stack up"
            raise StackError("the stack of this checkout does not run in containers", hint=hint)
        return Compose(self._state, self._progress).call(*arguments)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        def waiting() -> None:
            self._console.print("another command works on this stack; waiting for it")

        with self._state.lock(waiting), self._progress:
            yield

    def _stop(self) -> None:
        if self._state.mode is None:
            self._console.print("the stack of this checkout never ran")
            return
        self._backend(self._state.mode).stop()
        self._state.announce(self._state.mode, {})

    def _mode(self) -> str:
        wish = os.environ.get("STREAMGAUGE_STACK") or "auto"
        if wish not in {*MODES, "auto"}:
            raise StackError(f"STREAMGAUGE_STACK is {wish}", hint="Set it to native, docker or auto.")
        last = self._state.mode
        if wish == "auto":
            return last or ("docker" if engine_answers() else "native")
        if last and last != wish and self._state.env:
            hint = "Stop that first: streamgauge stack down (its data stays where it is)"
            raise StackError(f"STREAMGAUGE_STACK is {wish}, but the stack runs as {last}", hint=hint)
        return wish

    def _backend(self, mode: str) -> Backend:
        return MODES[mode](self._state, self._progress)

    def _external(self) -> dict[str, External]:
        return find_external(os.environ, own=addresses(self._state))

    def _own(self, external: dict[str, External]) -> list[str]:
        return [name for name in SERVICES if name not in external]


def up(console: Console | None = None) -> dict[str, str]:
    """Start what does not run, wait until everything serves, and return all addresses.

    The keys are ``kafka``, ``database_url``, ``writer_url``, ``reader_url`` and ``redis_url``.
    Progress goes to ``console``, by default standard error. Raises :class:`StackError`.
    """
    return Stack(console or Console(stderr=True)).up()


def down(console: Console | None = None) -> None:
    """Stop what runs here; the data stays. Raises :class:`StackError`."""
    Stack(console or Console(stderr=True)).down()
