"""Worker processes of tests, forked from one that has everything imported.

On two cores the imports of a worker would take as long as its work. What is forked calls the same ``main``
as ``python -m streams.worker``.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path

from streams.core.detect import saving

PATIENCE_S = 60.0

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["streams.worker", "tests.workers"])


def change_nothing() -> None:
    """Let the worker be what it is."""


def save_often() -> None:
    """Have detectors saved after a few readings, so that claims restore them."""
    saving.READINGS_PER_ROW, saving.ROWS_AT_ONCE = 20, 1


class WorkerProcess:
    """One worker process, which ends when whoever started it does. ``log`` is where its words are.

    ``change`` is called in it before it begins, and may break what a test wants broken.
    """

    def __init__(
        self, environment: Mapping[str, str], log: Path, change: Callable[[], None] = change_nothing
    ) -> None:
        self.log = log
        ours, self._tie = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(
            target=_work, args=(dict(environment), str(log), change, ours), daemon=True
        )
        self._process.start()
        ours.close()

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        if self.alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.join()

    def stop(self) -> int | None:
        """Ask it to stop; return its exit code, None if it does not end."""
        self._process.terminate()
        return self.exit_code()

    def exit_code(self) -> int | None:
        """Wait until it ends; return its exit code, negative for a signal, None if it does not end."""
        self._process.join(PATIENCE_S)
        return self._process.exitcode

    def said(self, words: str) -> bool:
        """Tell whether its log holds ``words``."""
        return self.log.exists() and words in self.log.read_text(errors="replace")


def _work(environment: Mapping[str, str], log: str, change: Callable[[], None], starter: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.setsid()
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    # A worker ends when its standard input is closed: none outlives whoever started it.
    sys.stdin = os.fdopen(starter.fileno(), closefd=False)
    change()
    from streams.worker import main

    main()
