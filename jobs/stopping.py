"""Ends a job in good order when it is asked to."""

from __future__ import annotations

import os
import select
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

_AGAIN_S = 0.02


class Stop:
    """Is true once SIGTERM or Ctrl-C asked this process to end; a second Ctrl-C ends it at once.

    A plain flag rather than an event: setting an event inside a signal handler can lock up against
    the wait that it interrupted.

    >>> with Stop() as stop:
    ...     bool(stop)
    False
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._former: dict[int, object] = {}

    def __bool__(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> Stop:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._former[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number


def starter_is_gone(fd: int = 0) -> bool:
    """Return whether ``fd`` is a pipe whose other end, held by who started this process, is closed.

    So a process ends with its starter even when that one is killed.
    """
    try:
        if not stat.S_ISFIFO(os.fstat(fd).st_mode) or not select.select([fd], [], [], 0)[0]:
            return False
        return not os.read(fd, 4096)
    except OSError:
        return False


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does; restore both afterwards."""
    former = {number: signal.signal(number, _interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
        # An interrupt that broke off an exec() of text, as defining a dataclass is one, ends CPython
        # by SIGINT although it was caught; another exec() that ends well makes it forget.
        exec("")


def _interrupt(number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            # Whatever a finalizer raises is printed and lost.
            threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number)).start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def ignore_interrupts() -> None:
    """Ignore SIGTERM and Ctrl-C from now on: what follows is short and must not be cut off."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
