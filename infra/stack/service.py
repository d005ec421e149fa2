"""What the stack asks of a service."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Say = Callable[[str], None]


@dataclass(frozen=True)
class Launch:
    """How to start a service that is prepared."""

    argv: list[str]
    cwd: Path
    env: Mapping[str, str] | None = None


class Service(Protocol):
    """One service of the native stack."""

    name: str
    ports: tuple[str, ...]
    stop_signals: tuple[signal.Signals, ...]

    def prepare(self, say: Say) -> None:
        """Download and lay out what is missing; ``say`` what takes long. Safe to be killed in."""

    def launch(self) -> Launch:
        """Return how to start it on the ports chosen in the state."""

    def ready(self) -> None:
        """Use the service once in earnest; raise :class:`NotReady` if it does not serve yet."""

    def addresses(self) -> dict[str, str]:
        """Return its entries of ``stack env``."""
