"""How far a run of retention is, as a bar on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress

from jobs.retention.run import Watcher


class Bar(Watcher):
    """Shows how many of the chunks are done; nothing where nobody looks."""

    def __init__(self, screen: Console) -> None:
        self._progress = Progress(console=screen, transient=True, disable=not screen.is_terminal)
        self._task = self._progress.add_task("chunks", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, chunks: int) -> None:
        """Show how many there are."""
        self._progress.update(self._task, total=chunks)

    def step(self, chunk: str) -> None:
        """Show which one was done last."""
        self._progress.update(self._task, advance=1, description=chunk)
