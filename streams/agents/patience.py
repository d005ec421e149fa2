"""How long to wait before what failed is tried again."""

from __future__ import annotations

import asyncio

FIRST_S = 0.05
MOST_S = 2.0


class Patience:
    """Waits longer each time, from ``FIRST_S`` to ``MOST_S`` seconds."""

    def __init__(self) -> None:
        self._next_s = FIRST_S

    async def wait(self) -> None:
        """Wait."""
        await asyncio.sleep(self._next_s)
        self._next_s = min(2 * self._next_s, MOST_S)
