"""What the stack asks of a service that it runs itself."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

Say = Callable[[str], None]


@dataclass(frozen=True)
class Launch:
    """How to start a service that is prepared."""

    argv: list[str]
    cwd: Path


class Service(Protocol):
    """One service of the native stack."""

    @property
    def name(self) -> str:
        """The name of its process, log and data."""

    @property
    def ports(self) -> tuple[str, ...]:
        """The names of the ports it listens on, clients' first."""

    @property
    def stop_signals(self) -> tuple[signal.Signals, ...]:
        """What ends it, the gentlest first."""

    def prepare(self, say: Say) -> Launch:
        """Lay out what is missing for the ports chosen in the state, and return how to start it.

        It may be killed at any time, and ``say``\\ s what takes long. Raises :class:`StackError`.
        """
