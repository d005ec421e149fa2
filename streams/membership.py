"""A name for each live worker that survives its restart.

Kafka knows a member by this name (``group.instance.id``), so a restarted worker takes its partitions
back in two seconds instead of waiting for the session to expire. Two live workers must never share a
name: they would evict each other for ever. So a name is a slot, held by a file lock while its worker
lives, which the kernel releases however the worker ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from streams.errors import UserError

MAX_SLOTS = 256


class NoFreeSlot(UserError):  # noqa: N818 - reads as what happened
    """Every slot of this group is held by a live worker on this host."""


@dataclass(slots=True)
class Slot:
    """One held slot; it is free again when the process ends or :meth:`release` is called."""

    number: int
    name: str
    _lock: IO[str]

    def release(self) -> None:
        """Let another worker take the slot."""
        self._lock.close()


def take_slot(directory: Path, group: str, host: str | None = None) -> Slot:
    """Take the lowest free slot of ``group`` on this host.

    ``directory`` holds the lock files and must be the same for all workers of one Kafka cluster on
    one host, and different for different clusters.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(MAX_SLOTS):
        lock = (directory / f"{group}-{number}.lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        os.set_inheritable(lock.fileno(), False)
        return Slot(number, f"{group}-{host or socket.gethostname()}-{number}", lock)
    raise NoFreeSlot(
        f"all {MAX_SLOTS} worker slots of group {group!r} are taken on this host",
        hint="Start fewer workers here, or give them another group.",
    )
