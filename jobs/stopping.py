"""Ends a job in good order when it is asked to."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


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
