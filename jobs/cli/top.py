"""``streamgauge top``: the live view."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.top.view import Screen
    from jobs.top.watch import Watch
    from streams.settings import Settings

app = typer.Typer()

PIPE_ROWS = 1000
"""Metrics of a sample where no terminal bounds them."""

_SLICE_S = 0.1
_PAPER = (128, 34)
_PAPER_SCREENS = 15


@app.command(
    epilog=examples(
        "streamgauge top",
        'streamgauge top --filter "cpu*utilization"',
        "streamgauge top --once --json",
    )
)
def top(
    interval: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between screens.")] = 1.0,
    tenant: Annotated[str | None, typer.Option(help="Only series of this tenant.")] = None,
    pattern: Annotated[
        str, typer.Option("--filter", help="Only series whose 'source metric' has this in it; * is anything.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Print one sample and end.")] = False,
    svg: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw one screen into an SVG file and end.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show the last minute of what is stored, live.

    Values, sparklines, minimum, mean and maximum are read back from TimescaleDB by SQL; the header
    says how the pipeline does. Without a terminal, and with --json, every sample is one line.

    Exit codes: 0 shown until the user ended it, 3 the database is away.
    """
    from jobs.stopping import Stop
    from streams.settings import Settings

    with watching(Settings(), tenant, pattern) as watch, Stop() as stop:
        if svg is not None:
            draw(watch, svg)
        elif once or as_json or not console().is_terminal:
            print_samples(watch, interval, 1 if once else None, as_json, lambda: bool(stop))
        else:
            show(watch, interval, lambda: bool(stop))


@contextmanager
def watching(settings: Settings, tenant: str | None = None, pattern: str = "") -> Iterator[Watch]:
    """Open what the live view reads from."""
    import time
    from datetime import datetime

    from jobs.top.health import HealthWatch, KafkaEnds
    from jobs.top.metrics import MetricsReader
    from jobs.top.watch import Watch
    from sinks.redis.status import RedisStatusBoard

    metrics = MetricsReader(settings.reader_dsn)
    board = RedisStatusBoard(settings.redis_url.get_secret_value())
    health = HealthWatch(
        settings.readings_topic,
        settings.group,
        metrics.query,
        KafkaEnds(settings.kafka, settings.readings_topic),
        board.read,
        time.monotonic,
    )
    try:
        yield Watch(
            metrics,
            health,
            tenant=tenant,
            pattern=pattern,
            clock=lambda: datetime.now().astimezone(),
            monotonic_s=time.monotonic,
            outbox_warn_s=settings.outbox_warn_s,
        )
    finally:
        metrics.close()
        board.close()


def print_samples(
    watch: Watch, interval_s: float, most: int | None, as_json: bool, stop: Callable[[], bool]
) -> None:
    """Print one line a sample until ``stop()``, or so many."""
    from jobs.top.oneline import document, line

    for screen in _screens(lambda: watch.read(PIPE_ROWS), interval_s, stop):
        if as_json:
            print_json(document(screen))
        else:
            typer.echo(line(screen))
        if most is not None and (most := most - 1) == 0:
            return


def draw(watch: Watch, file: Path) -> None:
    """Draw one screen into an SVG file."""
    import io
    import re

    from rich.console import Console
    from rich.terminal_theme import MONOKAI

    paper = Console(record=True, width=_PAPER[0], height=_PAPER[1], file=io.StringIO())
    # Rates need some screens to be seen.
    *_, last = islice(_screens(lambda: watch.read(_PAPER[1]), 1.0, lambda: False), _PAPER_SCREENS)
    paper.print(last)
    picture = paper.export_svg(title="streamgauge top", theme=MONOKAI)
    # A document fetches nothing from elsewhere: the reader's own monospaced font will do.
    file.write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")


def show(watch: Watch, interval_s: float, stop: Callable[[], bool]) -> None:
    """Draw screens on the terminal until ``stop()``."""
    from datetime import datetime

    from rich.live import Live

    from jobs.top.view import Screen, visible_rows

    terminal = console()
    screen = Screen(datetime.now().astimezone())
    with Live(screen, console=terminal, screen=True, auto_refresh=False) as live:

        def read() -> Screen:
            return watch.try_read(visible_rows(terminal.height, terminal.width), screen)

        for screen in _screens(read, interval_s, stop):
            live.update(screen, refresh=True)


def _screens(read: Callable[[], Screen], interval_s: float, stop: Callable[[], bool]) -> Iterator[Screen]:
    """Yield a screen an interval without a drift, until ``stop()``."""
    import time

    from jobs.pace import next_due

    began = time.monotonic()
    while not stop():
        yield read()
        due_s = next_due(began, interval_s, time.monotonic())
        while not stop() and (left_s := due_s - time.monotonic()) > 0:
            time.sleep(min(left_s, _SLICE_S))
