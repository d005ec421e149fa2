"""Keeps to a rate and to a schedule, with the clock given."""

from __future__ import annotations

import math
from collections.abc import Callable


class Pace:
    """Lets so many a second through; ``per_s`` 0 lets everything through.

    ``clock`` gives seconds and ``wait`` lets so many pass.

    >>> now = [0.0]
    >>> def wait(seconds: float) -> None:
    ...     now[0] += seconds
    >>> pace = Pace(100.0, clock=lambda: now[0], wait=wait)
    >>> for _ in range(3):
    ...     pace.take(50)
    >>> now[0]
    1.0
    """

    def __init__(self, per_s: float, clock: Callable[[], float], wait: Callable[[float], object]) -> None:
        self._per_s = per_s
        self._clock = clock
        self._wait = wait
        self._began = clock()
        self._taken = 0

    def take(self, count: int) -> None:
        """Wait until what was taken before is due, then count ``count`` more."""
        if self._per_s:
            while (early_s := self._began + self._taken / self._per_s - self._clock()) > 0:
                self._wait(early_s)
        self._taken += count


def next_due(began: float, interval: float, now: float) -> float:
    """Return the next multiple of ``interval`` after ``began`` that lies ahead of ``now``.

    A schedule that is reckoned from its beginning does not drift; what was missed is left out.

    >>> next_due(100.0, 1.0, 100.2), next_due(100.0, 1.0, 103.5)
    (101.0, 104.0)
    """
    return began + interval * (math.floor((now - began) / interval) + 1)
