"""Runs several worker processes: restarts what dies, with back-off, and passes signals on."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType

log = logging.getLogger(__name__)

BACKOFF_FIRST_S = 0.5
BACKOFF_MOST_S = 30.0
STEADY_AFTER_S = 60.0
STOP_WITHIN_S = 10.0
POLL_S = 0.1


def next_backoff_s(last_s: float, lived_s: float) -> float:
    """Return how long to wait before a restart, given the last wait and how long the process lived.

    >>> next_backoff_s(0.0, 3.0), next_backoff_s(0.5, 3.0), next_backoff_s(30.0, 3.0)
    (0.5, 1.0, 30.0)
    >>> next_backoff_s(30.0, 600.0)
    0.5
    """
    if lived_s >= STEADY_AFTER_S or last_s == 0.0:
        return BACKOFF_FIRST_S
    return min(2 * last_s, BACKOFF_MOST_S)


@dataclass(slots=True)
class Child:
    """One supervised place: its process, and when it may start again if it has none."""

    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    backoff_s: float = 0.0


class Supervisor:
    """Keeps ``count`` processes of ``command`` alive until it is told to stop.

    Every child gets a pipe as its standard input and should end when that closes: then no worker
    outlives a supervisor that was killed.
    """

    def __init__(
        self, command: list[str], count: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._command = command
        self._children = [Child() for _ in range(count)]
        self._monotonic = monotonic
        self._stopping = False

    def run(self) -> int:
        """Supervise until SIGTERM or SIGINT; return 0 when every child ended by itself in time."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        while not self._stopping:
            for child in self._children:
                self._tend(child)
            time.sleep(POLL_S)
        return self._stop()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _tend(self, child: Child) -> None:
        now = self._monotonic()
        if child.process is not None and child.process.poll() is not None:
            child.backoff_s = next_backoff_s(child.backoff_s, now - child.started_at)
            log.warning(
                "Worker process %d ended with %s; restarting in %.1f s",
                child.process.pid,
                _ending(child.process.returncode),
                child.backoff_s,
            )
            _close_pipe(child.process)
            child.process, child.restart_at = None, now + child.backoff_s
        if child.process is None and now >= child.restart_at:
            # A group of its own: Ctrl-C on the terminal is for the supervisor to pass on, once.
            child.process = subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)
            child.started_at = now

    def _stop(self) -> int:
        alive = [child.process for child in self._children if child.process is not None]
        for process in alive:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = self._monotonic() + STOP_WITHIN_S
        in_time = True
        for process in alive:
            try:
                process.wait(max(0.0, deadline - self._monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("Worker process %d did not end in %.0f s: killed", process.pid, STOP_WITHIN_S)
                process.kill()
                process.wait()
                in_time = False
            _close_pipe(process)
        return 0 if in_time and all(process.returncode == 0 for process in alive) else 1


def _close_pipe(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()


def _ending(returncode: int) -> str:
    return f"signal {signal.Signals(-returncode).name}" if returncode < 0 else f"exit code {returncode}"


def worker_command() -> list[str]:
    """Return the command of one supervised worker process."""
    return [sys.executable, "-m", "streams.worker"]
