"""What a fault is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from tests.chaos.run import Run

Strike = Callable[[Run, Random], None]


class NotStruck(Exception):  # noqa: N818 - reads as what happened
    """The fault did not happen; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of the matrix.

    ``strike`` breaks something while readings flow, and returns when it is whole again. ``settings``
    are those of the workers; ``failpoint`` draws the one that they start with, the first of them or,
    with ``everywhere``, all. Two faults that ``use`` the same thing are never struck together.
    """

    name: str
    meaning: str
    strike: Strike
    uses: frozenset[str] = frozenset()
    settings: Mapping[str, str] = field(default_factory=dict)
    failpoint: Callable[[Random], str] | None = None
    everywhere: bool = False
    by_relay: bool = False

    def goes_with(self, other: Fault) -> bool:
        """Tell whether both can be struck in one run."""
        return self is not other and not self.uses & other.uses
