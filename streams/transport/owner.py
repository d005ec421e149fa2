"""What the transport asks of the application that owns the partitions."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Protocol

from faust.types import TP


@dataclass(frozen=True, slots=True)
class LogBounds:
    """The offsets that a partition's log holds: ``[start, end)``."""

    start: int
    end: int


class PartitionOwner(Protocol):
    """Decides where each partition is read from. All methods run on Faust's event loop."""

    def retain(self, tps: Set[TP]) -> None:
        """Give up every partition that is not among ``tps``."""

    async def take_over(self, logs: Mapping[TP, LogBounds]) -> Mapping[TP, int]:
        """Claim these partitions and return the offset to read each from.

        A partition left out of the answer is halted: it is not read. May take as long as the
        database is away.
        """

    def stored(self) -> Mapping[TP, int]:
        """Return, for each partition held, the next offset after what is stored."""

    def fatal(self, problem: BaseException) -> None:
        """End the process: going on would not be safe."""
