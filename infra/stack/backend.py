"""The two ways to run the stack, native and in containers, behind one face."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Status:
    """What one service is at.

    ``state`` is ``serving`` (it did what was asked of it just now), ``failing`` (it runs, or
    should, but does not serve; ``detail`` says why) or ``stopped``. ``address`` holds no password.
    """

    service: str
    how: str
    state: str
    address: str = ""
    pid: int | None = None
    detail: str = ""


class Backend(Protocol):
    """Runs some of the services; ``names`` are of :data:`infra.stack.endpoints.SERVICES`."""

    def start(self, names: Collection[str]) -> None:
        """Start what does not run and wait until it serves."""

    def stop(self) -> None:
        """Stop whatever runs; the data stays."""

    def remove(self) -> None:
        """Remove the data of services that were stopped."""

    def status(self, names: Collection[str]) -> list[Status]:
        """Ask each service whether it serves."""

    def follow(self, names: Collection[str], lines: int, *, forever: bool) -> None:
        """Print the last ``lines`` of each log, and what is added to them ``forever``."""
