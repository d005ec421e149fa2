"""Producer epochs: a number that is higher after every start, whatever the clock does."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from streams.errors import UserError


def next_epoch(directory: Path, producer: str, now_ms: int) -> int:
    """Return an epoch higher than every one before for ``producer``, and remember it in ``directory``.

    It is the time, or one more than the last where the clock was set back. Two processes that ask
    at once get different ones. Raises :class:`~streams.errors.UserError` when it cannot be stored.
    """
    path = directory / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', producer)}.epoch"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            stored = file.read().split()
            epoch = max(now_ms, int(stored[-1]) + 1 if stored else 0)
            file.write(f"{epoch}\n")
            file.flush()
            os.fsync(file.fileno())
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot keep the producer's epoch in {path}: {error}",
            hint="Set STREAMGAUGE_STATE_DIR to a directory that you may write to.",
        ) from error
    return epoch
