"""Downloads that all checkouts of a user share."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_dir() -> Path:
    """Return the directory of downloads that all checkouts of this user share."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "streamgauge"


def built_once(name: str, build: Callable[[Path], None]) -> Path:
    """Return the cached directory ``name``, built by ``build(draft)`` if it is missing.

    The draft gets its name only when it is complete: a build may be killed at any time, and two
    at once build it once.
    """
    directory = cache_dir()
    target = directory / name
    if target.is_dir():
        return target
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / f"{name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return target
        for leftover in directory.glob(f"{name}.draft-*"):
            shutil.rmtree(leftover)
        draft = Path(tempfile.mkdtemp(prefix=f"{name}.draft-", dir=directory))
        build(draft)
        draft.chmod(0o755)
        draft.rename(target)
    return target
