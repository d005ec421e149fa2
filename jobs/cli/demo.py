"""``streamgauge demo``: this machine's telemetry, from nothing to a live view."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.output import console, examples
from jobs.cli.top import PIPE_ROWS, print_samples, show, watching

if TYPE_CHECKING:
    from rich.console import Console

    from jobs.companion import Companion

app = typer.Typer()

SAMPLES = 10
"""Lines printed where there is no terminal."""


@app.command(epilog=examples("streamgauge demo", "streamgauge demo --keep"))
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running at the end.")] = False,
) -> None:
    """Show this machine's own telemetry, live.

    Starts the stack, a worker and the host collector, whatever of them is missing; Ctrl-C stops
    what was started here, and the data stays. Without a terminal it prints ten samples, one a
    second, and ends.

    Exit codes: 0 shown, 1 something could not be started or ended by itself, 3 a service is away.
    """
    from jobs.demo import running
    from jobs.stopping import sigterm_interrupts

    told = console(stderr=True)
    with sigterm_interrupts(), running(told, keep=keep) as companions, suppress(KeyboardInterrupt):
        _show(told, companions)
    told.print("The readings stay. To see them: streamgauge stack up, streamgauge sql", highlight=False)


def _show(told: Console, companions: list[Companion]) -> None:
    from jobs.demo import check, wait_for_readings
    from streams.settings import Settings

    def healthy() -> bool:
        check(companions)
        return False

    with watching(Settings()) as watch:
        with told.status("waiting for the first readings"):
            wait_for_readings(companions, lambda: bool(watch.read(PIPE_ROWS).rows))
        if console().is_terminal:
            show(watch, 1.0, healthy)
        else:
            print_samples(watch, 1.0, SAMPLES, False, healthy)
