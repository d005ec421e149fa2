"""Progress is told line by line where there is no terminal, and by colour and in place where there is."""

from __future__ import annotations

import io

from rich.console import Console

from infra.stack.progress import Progress


def test_without_a_terminal_each_step_is_a_line() -> None:
    screen = io.StringIO()
    with Progress(Console(file=screen)) as progress:
        progress.step("kafka", "starting")
        progress.done("kafka", "ready")
        progress.failed("redis", "failed")
    assert screen.getvalue().splitlines() == [
        "  kafka        starting",
        "✓ kafka        ready",
        "✗ redis        failed",
    ]


def test_on_a_terminal_the_cursor_is_given_back_even_after_an_error() -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=80, _environ={"TERM": "xterm"})
    try:
        with Progress(terminal) as progress:
            progress.step("kafka", "starting")
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert hidden in screen.getvalue()
    assert screen.getvalue().rindex(shown) > screen.getvalue().rindex(hidden)
