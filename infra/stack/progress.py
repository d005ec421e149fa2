"""One line of progress per service, in place on a terminal, line by line elsewhere."""

from __future__ import annotations

import threading

from rich.console import Console
from rich.status import Status


class Progress:
    """Tells what each service is doing; safe to use from several threads."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._guard = threading.Lock()
        self._busy: dict[str, str] = {}
        self._status: Status | None = None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_exception: object) -> None:
        with self._guard:
            self._busy.clear()
            self._show()

    def step(self, service: str, text: str) -> None:
        """Say what a service is at now."""
        with self._guard:
            self._busy[service] = text
            if not self._console.is_terminal:
                self._console.print(f"  {service:<12} {text}", highlight=False)
            self._show()

    def done(self, service: str, text: str) -> None:
        """Say how it ended well."""
        self._end(service, f"[green]✓[/] {service:<12} {text}")

    def failed(self, service: str, text: str) -> None:
        """Say that it did not."""
        self._end(service, f"[red]✗[/] {service:<12} {text}")

    def _end(self, service: str, line: str) -> None:
        with self._guard:
            self._busy.pop(service, None)
            self._console.print(line, highlight=False)
            self._show()

    def _show(self) -> None:
        if not self._console.is_terminal:
            return
        text = "   ".join(f"{service}: {step}" for service, step in self._busy.items())
        if self._busy and self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        elif self._busy and self._status is not None:
            self._status.update(text)
        elif self._status is not None:
            self._status.stop()
            self._status = None
