"""``streamgauge verify``: the proof that each reading is stored once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json

if TYPE_CHECKING:
    from jobs.verify.report import PartitionReport, Report
    from jobs.verify.snapshot import Order

app = typer.Typer()


@app.command(
    epilog=examples(
        "streamgauge verify",
        "streamgauge verify --json",
        "streamgauge verify --ledger /var/lib/gateway/ledgers",
    )
)
def verify(
    topic: Annotated[
        str | None, typer.Option(help="Topic of readings; default: the readings_topic setting.")
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="Directory of all producers' ledgers, to compare with as well.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare the database with the log, reading by reading, while workers go on.

    Reads each partition from its log's start to the stored offset, judges every reading anew, and
    looks for readings that are missing, doubled, altered or unexplained, for wrong counts, for late
    readings that are not flagged, not counted, or whose minute is not marked to be computed again, and for
    rollups and anomalies that are not what the readings make. With
    the ledgers of all producers it also looks for readings that are lost, unledgered or untrue.

    Exit codes: 0 all is as the log says, 1 it is not, 3 Kafka or the database is away.
    """
    from jobs.verify.log import Log
    from jobs.verify.verify import verify as compare
    from streams.settings import Settings
    from streams.worker import detecting_of, patience_of, pipeline_of

    settings = Settings()
    name = topic or settings.readings_topic
    with console(stderr=True).status(f"Reading the log of {name}"):
        log = Log(settings.kafka, name)
        report = compare(
            settings.owner_dsn,
            log,
            name,
            pipeline_of(settings),
            patience_of(settings),
            ledger,
            detecting_of(settings),
        )
    if as_json:
        print_json(report.document())
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(1)


def _print(report: Report) -> None:
    from rich.table import Table

    from jobs.verify.oracle import Fate

    table = Table(box=None, header_style="bold")
    for heading in (
        "partition",
        "records",
        "readings",
        *(fate.replace("_", " ") for fate in Fate),
        "stored to",
    ):
        table.add_column(heading, justify="right")
    for partition in report.partitions:
        numbers = [f"{partition.counts.get(fate, 0):,}" for fate in Fate]
        table.add_row(
            str(partition.stored.partition),
            f"{partition.records:,}",
            f"{partition.readings:,}",
            *numbers,
            f"{partition.stored.next_offset:,}",
        )
    console().print(table)
    for partition in report.partitions:
        _print_faults_of(partition)
    _print_examples(report)
    _print_remarks(report)
    found = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in report.faults.items() if count)
    if report.ok:
        typer.secho(f"exactly once: {report.readings:,} readings in {report.records:,} records", fg="green")
    else:
        typer.secho(f"not as the log says: {found}", fg="red")


def _print_faults_of(partition: PartitionReport) -> None:
    stored, log = partition.stored, partition.log
    if not partition.within_log:
        held = f"the log holds {log.start:,} to {log.end:,}" if log else "Kafka has no such partition"
        typer.echo(f"partition {stored.partition}: stored to {stored.next_offset:,}, but {held}")
    if not partition.counts_agree:
        differ = [
            f"{fate.replace('_', ' ')} {count:,} where the log gives {partition.counts.get(fate, 0):,}"
            for fate, count in stored.counts.items()
            if count != partition.counts.get(fate, 0)
        ]
        typer.echo(f"partition {stored.partition}: progress counts {', '.join(differ)}")
    if partition.order is not None and not partition.order_agrees:
        typer.echo(
            f"partition {stored.partition}: in order {_in_words(stored.order)}, "
            f"where the log gives {_in_words(partition.order)}"
        )


def _in_words(order: Order) -> str:
    passed = "no watermark" if order.watermark_us is None else f"watermark {order.watermark_us:,} µs"
    return f"{order.released:,} released, {order.late:,} late, {passed}"


def _print_examples(report: Report) -> None:
    from jobs.untrusted import printable

    for kind, some in report.examples.items():
        for one in some:
            names = "/".join(name for name in one[:3] if name is not None) or f"series {one.series_id}"
            typer.echo(f"{kind.value:<12} {printable(names)} at {one.ts}: {one.detail}")


def _print_remarks(report: Report) -> None:
    from jobs.verify.compare import Kind

    beyond, in_flight = report.kinds[Kind.BEYOND_LOG], report.kinds[Kind.IN_FLIGHT]
    if beyond:
        typer.echo(f"{beyond:,} readings are older than the log, which cannot tell of them")
    if in_flight:
        typer.echo(f"{in_flight:,} forwarded readings are on their way")
    if report.waiting.late:
        typer.echo(f"warning: {report.waiting.late:,} messages wait in the outbox for more than a minute")
