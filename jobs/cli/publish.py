"""``streamgauge publish``: readings from a file or pipe."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json
from streams.errors import UsageError

if TYPE_CHECKING:
    from jobs.formats.base import Defaults
    from jobs.publish import Summary

app = typer.Typer()

_STANDARD_INPUT = 0

SHOWN_LINES = 20
"""So many refused lines are shown one by one; all are counted."""


@app.command(
    epilog=examples(
        "streamgauge publish pump-1.rpm.csv",
        "streamgauge publish readings.jsonl --rate 5000 --json",
        "tail -f metrics.lp | streamgauge publish - --time-unit s",
    )
)
def publish(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="Text file of readings, or - for input.")],
    form: Annotated[
        Literal["auto", "csv", "json", "influx"],
        typer.Option("--format", help="Text form; auto: by the first line."),
    ] = "auto",
    source: Annotated[
        str | None, typer.Option(help="Source where the file names none; default: the file's name.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Metric where the file names none; default: see above.")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="UCUM unit where the file names none, as Cel.")] = None,
    tenant: Annotated[str, typer.Option(help="Tenant where the file names none.")] = "default",
    time_unit: Annotated[
        Literal["auto", "s", "ms", "us", "ns"],
        typer.Option(help="Unit of numeric times; auto: CSV by magnitude, JSON us, Influx ns."),
    ] = "auto",
    producer: Annotated[
        str | None, typer.Option(help="Producer id where the file names none; default: publish-<host>.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Readings in a message at most.")] = 1000,
    rate: Annotated[float, typer.Option(min=0, help="Readings a second; 0 is as fast as it goes.")] = 0,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first line that is refused.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send the readings of a text file to Kafka.

    CSV with a header (timestamp,value or ts,source,metric,value and more columns), JSON lines (the
    objects or arrays that a JSON message may hold) and Influx line protocol are told apart by the
    first line. Of pump-1.rpm.csv the source is pump-1 and the metric rpm; of pump-1.csv it is value.

    Lines that are refused are told with number and reason, and the rest is sent.

    Exit codes: 0 all was sent, 1 lines were refused or the file cannot be read, 3 Kafka did not take
    everything.
    """
    from jobs.publish import publish_file
    from streams.settings import Settings

    settings = Settings()
    with _opened(file) as fd, Watch(file) as watch:
        summary = publish_file(
            fd,
            settings,
            defaults=_defaults(file, source, metric, unit, tenant, time_unit),
            producer_id=producer or f"publish-{socket.gethostname()}",
            form=form,
            batch=batch,
            rate=rate,
            strict=strict,
            watch=watch,
        )
    if as_json:
        print_json(asdict(summary))
    else:
        _print_summary(summary)
    if summary.refused:
        raise typer.Exit(1)


@contextmanager
def _opened(file: str) -> Iterator[int]:
    if file == "-":
        yield _STANDARD_INPUT
        return
    if Path(file).is_dir():
        raise UsageError(f"{file} is a directory", hint="Give a file, or - for input.")
    fd = os.open(file, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def _defaults(
    file: str, source: str | None, metric: str | None, unit: str | None, tenant: str, time_unit: str
) -> Defaults:
    from jobs.formats.base import Defaults

    stem = "" if file == "-" else Path(file).stem
    named_source, dot, named_metric = stem.rpartition(".")
    return Defaults(
        source=source or named_source or stem,
        metric=metric or (named_metric if dot else "value"),
        tenant=tenant,
        time_unit=time_unit,
        attributes=(("unit", unit),) if unit else (),
    )


class Watch:
    """Shows how far it is on a terminal, and the first lines that are refused anywhere."""

    def __init__(self, file: str) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        total = Path(file).stat().st_size if Path(file).is_file() else None
        self._console = console(stderr=True)
        self._refused = 0
        self._began = time.perf_counter()
        self._progress = Progress(
            SpinnerColumn(),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %" if total else "from input"),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("", total=total, told="")

    def __enter__(self) -> Watch:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advanced(self, bytes_read: int, readings: int) -> None:
        """Show how far the file is read and what was sent."""
        per_s = readings / max(time.perf_counter() - self._began, 1e-6)
        self._progress.update(self._task, completed=bytes_read, told=f"{readings:,} readings, {per_s:,.0f}/s")

    def refused(self, line: int, reason: str) -> None:
        """Show that a line was refused, unless many were already."""
        self._refused += 1
        if self._refused <= SHOWN_LINES:
            self._console.print(f"line {line}: {reason}", markup=False, soft_wrap=True)
        elif self._refused == SHOWN_LINES + 1:
            self._console.print("more lines are refused; the summary counts them")


def _print_summary(summary: Summary) -> None:
    per_s = summary.readings / max(summary.seconds, 1e-6)
    typer.echo(
        f"sent {summary.readings:,} readings in {summary.messages:,} messages"
        f" ({summary.seconds:.1f} s, {per_s:,.0f}/s) from {summary.lines:,} lines"
    )
    for reason, count in summary.refused.most_common():
        typer.echo(f"  refused {count:,} {'line' if count == 1 else 'lines'}: {reason}")
    for reason, count in summary.skipped.most_common():
        typer.echo(f"  skipped {count:,} {'field' if count == 1 else 'fields'}: {reason}")
