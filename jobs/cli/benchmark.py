"""``streamgauge benchmark``: how fast it is here, beside its limits and beside what else there is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.output import console, examples, print_json

if TYPE_CHECKING:
    from jobs.benchmark.report import Report

app = typer.Typer(no_args_is_help=True, help="Measure speed, side by side with what limits it.")

ALL_ENCODINGS = "batch,single,json,json-array"

Readings = Annotated[
    int, typer.Option(min=1_000, help="Readings in a run; a quarter where each is a message.")
]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds in which all contestants take turns.")]
SeriesCount = Annotated[int, typer.Option("--series", min=1, help="Distinct series.")]
Batch = Annotated[int, typer.Option(min=1, max=100_000, help="Readings in a batch message.")]
Partitions = Annotated[int, typer.Option(min=1, max=64, help="Partitions of each topic.")]
Encodings = Annotated[str, typer.Option(help="Encodings to measure, with commas in between.")]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there; - is standard output.")
]
Save = Annotated[
    Path | None,
    typer.Option(metavar="DIRECTORY", help="Write <verb>.json and the plot <verb>.svg there."),
]


@app.command(
    epilog=examples(
        "streamgauge benchmark pipeline --json pipeline.json",
        "streamgauge benchmark pipeline --encodings batch --workers 1 --rounds 3",
    )
)
def pipeline(
    readings: Readings = 4_000_000,
    rounds: Rounds = 5,
    series: SeriesCount = 1_000,
    batch: Batch = 100,
    partitions: Partitions = 4,
    encodings: Encodings = ALL_ENCODINGS,
    workers: Annotated[
        list[int] | None, typer.Option(min=1, max=16, help="Numbers of workers; default: 1 and 2.")
    ] = None,
    json_file: JsonFile = None,
    save: Save = None,
) -> None:
    """Measure from a backlog in Kafka to visible rows, beside the raw COPY of the same rows.

    Needs the stack, and a machine that does nothing else. Uses topics and databases of its own.

    Exit codes: 0 measured, 1 it could not be measured, 3 Kafka or the database is away.
    """
    from jobs.benchmark.pipeline import measure
    from jobs.benchmark.report import Report

    report = Report.begin("pipeline", _options(locals()))
    report.results.extend(
        measure(
            readings,
            rounds,
            _shape(series, batch),
            _encodings(encodings),
            workers or [1, 2],
            partitions,
            _say,
        )
    )
    _hand_out(report, json_file, save)


@app.command(epilog=examples("streamgauge benchmark ceiling --encodings batch --rounds 3"))
def ceiling(
    readings: Readings = 4_000_000,
    rounds: Rounds = 5,
    series: SeriesCount = 1_000,
    batch: Batch = 100,
    partitions: Partitions = 4,
    encodings: Encodings = ALL_ENCODINGS,
    json_file: JsonFile = None,
    save: Save = None,
) -> None:
    """Measure what limits the pipeline: raw COPY, fetching alone, decoding alone.

    Exit codes: 0 measured, 1 it could not be measured, 3 Kafka or the database is away.
    """
    from jobs.benchmark.ceiling import measure
    from jobs.benchmark.report import Report

    report = Report.begin("ceiling", _options(locals()))
    report.results.extend(
        measure(readings, rounds, _shape(series, batch), _encodings(encodings), partitions, _say)
    )
    _hand_out(report, json_file, save)


def _options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a verb that say what was measured."""
    return {
        name: value
        for name, value in given.items()
        if isinstance(value, int | float | str | list) and not name.startswith("_")
    }


def _shape(series: int, batch: int) -> Any:
    from jobs.benchmark.backlog import Shape

    return Shape(series=series, batch=batch)


def _encodings(names: str) -> list[Any]:
    from jobs.generate import Encoding
    from streams.errors import UsageError

    known = [encoding.value for encoding in Encoding]
    for name in names.split(","):
        if name not in known:
            raise UsageError(f"there is no encoding {name!r}", hint=f"Known are {', '.join(known)}.")
    return [Encoding(name) for name in names.split(",")]


def _say(words: str) -> None:
    typer.echo(words, err=True)


def _hand_out(report: Report, json_file: Path | None, save: Path | None) -> None:
    from jobs.benchmark.plot import write_plot
    from jobs.benchmark.summary import plot_of, tables_of

    if json_file == Path("-"):
        print_json(report.document())
    else:
        for table in tables_of(report):
            console().print(table)
        if json_file is not None:
            report.write(json_file)
    if save is not None:
        report.write(save / f"{report.benchmark}.json")
        for file in write_plot(plot_of(report), save / f"{report.benchmark}.svg"):
            _say(f"wrote {file}")
