"""Waits for what comes about by itself."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 90.0


class NotInTime(AssertionError):  # noqa: N818 - reads as what happened
    """Something that was waited for did not come about."""


def eventually(condition: Callable[[], bool], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until ``condition`` holds. Raises :class:`NotInTime`."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise NotInTime(f"waited {patience_s:.0f} s for {what}")
        time.sleep(0.02)
