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

BUSY_CORES = 0.3

PAGE_WIDTH = 200
"""Characters in a line where there is no terminal that has its own."""

ALL_ENCODINGS = "batch,single,json,json-array"

Readings = Annotated[
    int, typer.Option(min=1_000, help="Readings in a run; a quarter where each is a message.")
]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds in which all contestants take turns.")]
SeriesCount = Annotated[int, typer.Option("--series", min=1, help="Distinct series.")]
Batch = Annotated[int, typer.Option(min=1, max=100_000, help="Readings in a batch message.")]
Partitions = Annotated[int, typer.Option(min=1, max=64, help="Partitions of each topic.")]
Encodings = Annotated[str, typer.Option(help="Encodings to measure, with commas in between.")]
WorkerCounts = Annotated[str, typer.Option(help="Numbers of workers, with commas in between.")]
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
    workers: WorkerCounts = "1,2",
    json_file: JsonFile = None,
    save: Save = None,
) -> None:
    """Measure from a backlog in Kafka to visible rows, beside the raw COPY of the same rows.

    Needs the stack, and a machine that does nothing else. Uses topics and databases of its own.

    Exit codes: 0 measured, 1 it could not be measured, 3 Kafka or the database is away.
    """
    from jobs.benchmark.pipeline import measure

    options = _options(locals())
    wanted, counts = _encodings(encodings), _counts(workers)
    report = _begun("pipeline", options)
    report.results.extend(
        measure(
            readings,
            rounds,
            _shape(series, batch),
            wanted,
            counts,
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

    options, wanted = _options(locals()), _encodings(encodings)
    report = _begun("ceiling", options)
    report.results.extend(measure(readings, rounds, _shape(series, batch), wanted, partitions, _say))
    _hand_out(report, json_file, save)


@app.command(
    epilog=examples(
        "streamgauge benchmark latency --rates 20000 --seconds 30",
        "streamgauge benchmark latency --rates 216000 --seconds 300 --series 50000 --rounds 1",
    )
)
def latency(
    rates: Annotated[str, typer.Option(help="Readings a second, with commas in between.")] = "1e3,2e4,7.2e4",
    seconds: Annotated[float, typer.Option(min=1, help="How long each rate is kept up.")] = 30,
    rounds: Rounds = 3,
    series: SeriesCount = 1_000,
    batch: Batch = 100,
    partitions: Partitions = 4,
    json_file: JsonFile = None,
    save: Save = None,
) -> None:
    """Measure from the scheduled sending of a reading to the SELECT that sees it, and to its dead letter.

    Readings are sent on a schedule that waits for nothing; 100 a second are marked and looked for
    every 10 ms, 10 are refused and read from a topic for dead letters.

    Exit codes: 0 measured, 1 it could not be measured, 3 Kafka or the database is away.
    """
    from jobs.benchmark.latency import measure

    options, wanted = _options(locals()), _numbers(rates)
    report = _begun("latency", options)
    report.results.extend(measure(wanted, seconds, rounds, series, batch, partitions, _say))
    _hand_out(report, json_file, save)


@app.command(
    epilog=examples(
        "streamgauge benchmark scale --workers 1,2,4 --partitions 8",
        "streamgauge benchmark scale --workers '' --series 1e3,1e4,1e5,5e5",
        "streamgauge benchmark scale --workers '' --duplicates 0,10,50 --late 10",
    )
)
def scale(
    readings: Annotated[int, typer.Option(min=1_000, help="Readings in a run, without repeats.")] = 4_000_000,
    rounds: Rounds = 3,
    workers: WorkerCounts = "1,2,4",
    series: Annotated[str, typer.Option(help="Numbers of series, with commas in between.")] = "",
    duplicates: Annotated[
        str, typer.Option(help="Percentages of messages that are repeats, with commas in between.")
    ] = "",
    late: Annotated[
        str, typer.Option(help="Percentages of messages that come late, with commas in between.")
    ] = "",
    batch: Batch = 100,
    partitions: Partitions = 8,
    json_file: JsonFile = None,
    save: Save = None,
) -> None:
    """Measure rate and CPU against the number of workers and of series, repeats and late readings.

    Exit codes: 0 measured, 1 it could not be measured, 3 Kafka or the database is away.
    """
    from jobs.benchmark.dirt import Dirt
    from jobs.benchmark.scale import measure

    options = _options(locals())
    dirts = [Dirt(repeated=number / 100) for number in _numbers(duplicates)]
    dirts += [Dirt(late=number / 100) for number in _numbers(late)]
    counts, series_counts = _counts(workers), _counts(series)
    report = _begun("scale", options)
    report.results.extend(
        measure(readings, rounds, _shape(1_000, batch), counts, series_counts, dirts, partitions, _say)
    )
    _hand_out(report, json_file, save)


@app.command(
    epilog=examples(
        "streamgauge benchmark peers --save docs/benchmarks",
        "streamgauge benchmark peers --peers plain_loop --encodings json --no-kill",
    )
)
def peers(
    readings: Readings = 2_000_000,
    rounds: Rounds = 3,
    names: Annotated[
        str, typer.Option("--peers", help="Programs to measure, with commas in between; default: all.")
    ] = "",
    kill: Annotated[bool, typer.Option(help="Kill each once, and count what is lost and doubled.")] = True,
    series: SeriesCount = 1_000,
    batch: Batch = 100,
    partitions: Partitions = 4,
    encodings: Encodings = "json,json-array",
    json_file: JsonFile = None,
    save: Save = None,
) -> None:
    """Measure beside what one could use instead: the same readings into the same table.

    Programs that need packages get them from PyPI, into environments of their own below the state
    directory. One that cannot be installed is left out, with the reason.

    Exit codes: 0 measured, 1 it could not be measured, 3 Kafka or the database is away.
    """
    from jobs.benchmark.comparison import measure
    from jobs.benchmark.rivals import RIVALS
    from streams.errors import UsageError

    options, wanted = _options(locals()), _encodings(encodings)
    asked = names.split(",") if names else [rival.name for rival in RIVALS]
    chosen = [rival for rival in RIVALS if rival.name in asked]
    if len(chosen) != len(asked):
        known = ", ".join(rival.name for rival in RIVALS)
        raise UsageError(f"not all of {names} are known", hint=f"Known are {known}.")
    report = _begun("peers", options)
    report.results.extend(
        measure(readings, rounds, _shape(series, batch), wanted, chosen, partitions, kill, _say)
    )
    _hand_out(report, json_file, save)


@app.command(epilog=examples("streamgauge benchmark soak --minutes 20 --save docs/benchmarks"))
def soak(
    minutes: Annotated[float, typer.Option(min=0.05, help="How long.")] = 20,
    rate: Annotated[float, typer.Option(min=1, help="Readings a second.")] = 72_000,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 5,
    series: SeriesCount = 10_000,
    batch: Batch = 100,
    partitions: Partitions = 4,
    json_file: JsonFile = None,
    save: Save = None,
) -> None:
    """Keep up a load and watch memory, lag, table and WAL; a leak or growing lag fails it.

    Exit codes: 0 nothing grew that should not, 1 something did, 3 Kafka or the database is away.
    """
    from jobs.benchmark.soak import measure
    from streams.errors import UserError

    report = _begun("soak", _options(locals()))
    result, faults = measure(rate, minutes, every, series, batch, partitions, _say)
    report.results.append(result)
    _hand_out(report, json_file, save)
    if faults:
        raise UserError("; ".join(faults), hint="Its samples are in the report: --json FILE")


@app.command(epilog=examples("streamgauge benchmark queries --rows 2e6 --json queries.json"))
def queries(
    rows: Annotated[float, typer.Option(min=20_000, help="Readings in the database, such as 1e8.")] = 1e8,
    series: Annotated[int, typer.Option(min=1_000, help="Distinct series.")] = 50_000,
    rounds: Rounds = 5,
    json_file: JsonFile = None,
    save: Save = None,
) -> None:
    """Time what analysts ask of a fleet: by views and functions, and in plain SQL on the readings.

    Where the server runs the Community edition, continuous aggregates are asked, too. Needs the
    database, and time and disk to fill one of its own: 15 GB for 1e8 rows.

    Exit codes: 0 measured, 1 it could not be measured, 3 the database is away.
    """
    from jobs.benchmark.queries import measure

    report = _begun("queries", _options(locals()))
    report.results.extend(measure(round(rows), series, rounds, _say))
    _hand_out(report, json_file, save)


@app.command(
    epilog=examples(
        "streamgauge benchmark micro --json before.json",
        "streamgauge benchmark micro --against before.json",
    )
)
def micro(
    readings: Readings = 200_000,
    rounds: Rounds = 7,
    series: SeriesCount = 1_000,
    batch: Batch = 100,
    encodings: Encodings = ALL_ENCODINGS,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", exists=True, dir_okay=False, help="Figures to compare with."),
    ] = None,
    json_file: JsonFile = None,
    save: Save = None,
) -> None:
    """Time each stage of the core alone, in nanoseconds a reading; needs no stack.

    Exit codes: 0 measured, 1 it could not be measured.
    """
    from jobs.benchmark.micro import held_against, measure
    from jobs.benchmark.report import read_results

    options, wanted = _options(locals()), _encodings(encodings)
    report = _begun("micro", options)
    found = measure(readings, rounds, _shape(series, batch), wanted, _say)
    report.results.extend(held_against(found, read_results(against)) if against else found)
    _hand_out(report, json_file, save)


@app.command(epilog=examples("streamgauge benchmark detect --json detect.json"))
def detect(
    series: SeriesCount = 10_000,
    json_file: JsonFile = None,
    save: Save = None,
) -> None:
    """Score the detection of anomalies on labelled series, beside baselines, on noise, and what it costs.

    The series are those of NAB, in nab/ of the folder that STREAMGAUGE_DATA names; needs no stack.
    The score of NAB is 0 for silence and 100 for each labelled window at its beginning and nothing else.

    Exit codes: 0 measured, 1 it could not be measured.
    """
    from jobs.benchmark.detection import measure
    from jobs.benchmark.nab import data_folder

    report = _begun("detect", _options(locals()))
    report.results.extend(measure(data_folder() / "nab", series, save, _say))
    _hand_out(report, json_file, save)


@app.command(epilog=examples("streamgauge benchmark forecast --days 7 --json forecast.json"))
def forecast(
    days: Annotated[int, typer.Option(min=1, help="On each series, forecasts of so many days at most.")] = 28,
    series: Annotated[int, typer.Option(min=0, help="Made-up series to time it on.")] = 100,
    json_file: JsonFile = None,
    save: Save = None,
) -> None:
    """Hold forecasts against what happened: issued day after day, knowing nothing later; and time them.

    The series are in traces/ and nab/ of the folder that STREAMGAUGE_DATA names; needs no stack. mase is the
    error by that of saying what was a day before, and coverage the share from p10 to p90.

    Exit codes: 0 measured, 1 it could not be measured.
    """
    from jobs.benchmark.forecasts import measure
    from jobs.benchmark.nab import data_folder

    report = _begun("forecast", _options(locals()))
    report.results.extend(measure(data_folder(), days, series, _say))
    _hand_out(report, json_file, save)


@app.command(epilog=examples("streamgauge benchmark rules --json rules.json"))
def rules(json_file: JsonFile = None, save: Save = None) -> None:
    """Put faults in and see which rules tell of them, how late, and what they tell of noise.

    Rules are those that have episodes of their own: sensors that are stuck, silence, resets, states,
    machines unlike their peers, metrics that leave their company. Needs neither data nor a stack.

    Exit codes: 0 measured, 1 it could not be measured.
    """
    from jobs.benchmark.faults import on_faults, on_noise

    report = _begun("rules", _options(locals()))
    _say("faults")
    report.results.extend(on_faults())
    _say("noise of ten kinds")
    report.results.extend(on_noise())
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


def _numbers(text: str) -> list[float]:
    from streams.errors import UsageError

    try:
        return [float(number) for number in text.split(",") if number.strip()]
    except ValueError:
        raise UsageError(f"{text!r} is no list of numbers", hint="Put commas in between: 1,2,4") from None


def _counts(text: str) -> list[int]:
    return [int(number) for number in _numbers(text)]


def _begun(benchmark: str, options: Mapping[str, Any]) -> Report:
    """Describe the machine, and say where it is no place to measure."""
    from jobs.benchmark.report import Report

    report = Report.begin(benchmark, options)
    busy = report.machine["busy_cores_before"]
    if busy > BUSY_CORES:
        _say(f"warning: other programs use {busy:g} cores; figures will be lower, and lie far apart")
    return report


def _say(words: str) -> None:
    typer.echo(words, err=True)


def _hand_out(report: Report, json_file: Path | None, save: Path | None) -> None:
    from jobs.benchmark.plot import write_plot
    from jobs.benchmark.summary import plot_of, tables_of

    if json_file == Path("-"):
        print_json(report.document())
    else:
        screen = console()
        if not screen.is_terminal:
            screen.width = PAGE_WIDTH
        for table in tables_of(report):
            screen.print(table)
        if json_file is not None:
            report.write(json_file)
    if save is not None:
        report.write(save / f"{report.benchmark}.json")
        for file in write_plot(plot_of(report), save / f"{report.benchmark}.svg"):
            _say(f"wrote {file}")
