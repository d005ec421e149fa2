"""``streamgauge forecast``: what series will do, what they tend to, and when a limit is reached."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json

if TYPE_CHECKING:
    from streams.core.batch import Float64
    from streams.core.forecast.predict import Forecast

app = typer.Typer(no_args_is_help=True)

PATHS = 1000

Hours = Annotated[int, typer.Option(min=1, max=672, help="How many hours ahead.")]
Tenant = Annotated[str, typer.Option(help="Whose series it is.")]
Source = Annotated[str, typer.Argument(help="Source of the series; none with --file.")]
Metric = Annotated[str, typer.Argument(help="Metric of the series; none with --file.")]
File = Annotated[
    str, typer.Option(metavar="CSV", help="Readings as timestamp,value instead; - for input. Needs no stack.")
]


@app.command(
    epilog=examples(
        "streamgauge forecast run", "streamgauge forecast run --metric 'disk.*' --hours 168 --json"
    )
)
def run(
    tenant: Annotated[str, typer.Option(help="Of tenants like this; * stands for any letters.")] = "*",
    source: Annotated[str, typer.Option(help="Of sources like this.")] = "*",
    metric: Annotated[str, typer.Option(help="Of metrics like this.")] = "*",
    hours: Hours = 24,
    processes: Annotated[int, typer.Option(min=1, max=2, help="Processes that compute.")] = 2,
    as_json: JsonFlag = False,
) -> None:
    """Forecast series by the hour from their rollups, and store what was forecast.

    A series is forecast from the hour on that it has been released up to, once. It may be ended at any
    moment, and goes on from there the next time. Run it once a day, or once an hour.

    Exit codes: 0 ok, 1 there are no rollups by the hour or a process was ended, 3 the database cannot be
    reached.
    """
    from rich.progress import Progress

    from jobs.forecast import store
    from jobs.forecast.run import Report
    from jobs.forecast.run import run as run_forecasts
    from streams.settings import Settings

    screen, report = console(stderr=True), Report()
    with (
        store.open_session(Settings().writer_dsn) as session,
        Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress,
    ):
        series = store.list_series(session, tenant, source, metric)
        bar = progress.add_task("series", total=len(series))
        for report in run_forecasts(session, series, hours, processes):
            progress.update(bar, completed=report.done)
    if as_json:
        print_json(report.document())
        return
    typer.echo(
        f"{report.forecast:,} of {len(series):,} series forecast, {report.issued_before:,} were already"
    )
    for model, count in report.models.most_common():
        typer.echo(f"  {model}: {count:,}")
    for reason, count in report.not_forecast.most_common():
        typer.echo(f"not forecast, {reason}: {count:,}")


@app.command(
    epilog=examples(
        "streamgauge forecast show web-1 cpu.busy", "streamgauge forecast show --file pump-1.csv --hours 48"
    )
)
def show(
    source: Source = "",
    metric: Metric = "",
    tenant: Tenant = "default",
    file: File = "",
    hours: Hours = 24,
    as_json: JsonFlag = False,
) -> None:
    """Forecast a series, and show it; what `run` stored is in view forecasts_named.

    Exit codes: 0 ok, 1 there is no such series, or too little is known of it, 3 the database cannot be
    reached.
    """
    issued_at, value = _hours_of(source, metric, tenant, file)
    found = _predict(value, hours)
    quantiles = zip(found.p10.tolist(), found.p50.tolist(), found.p90.tolist(), strict=True)
    rows = [(issued_at + timedelta(hours=hour), *row) for hour, row in enumerate(quantiles)]
    if as_json:
        print_json(
            {
                "issued_at": issued_at,
                "model": found.model,
                "error": found.error,
                "mase": found.mase,
                "hours": [dict(zip(("bucket", "p10", "p50", "p90"), row, strict=True)) for row in rows],
            }
        )
        return
    mase = "" if found.mase is None else f", MASE {found.mase:.2f}"
    typer.echo(f"{found.model}: off by {found.error:.4g} in the mean on the days before{mase}")
    for bucket, *numbers in rows:
        typer.echo(f"{bucket:%F %H:%M}" + "".join(f"{number:>14,.6g}" for number in numbers))


@app.command(
    epilog=examples(
        "streamgauge forecast trend db-1 disk.used", "streamgauge forecast trend db-1 disk.used --limit 500e9"
    )
)
def trend(
    source: Source = "",
    metric: Metric = "",
    tenant: Tenant = "default",
    file: File = "",
    limit: Annotated[float | None, typer.Option(help="Say when the series reaches this value.")] = None,
    hours: Hours = 168,
    as_json: JsonFlag = False,
) -> None:
    """Tell whether a series rises or falls, how sure that is, and when it reaches a limit.

    The limit is reached from the side that the latest hour is on.

    Exit codes: 0 ok, 1 there is no such series, or too little is known of it, 3 the database cannot be
    reached.
    """
    from streams.core.forecast.passage import first_passage
    from streams.core.forecast.trend import trend as trend_of
    from streams.errors import UserError

    issued_at, value = _hours_of(source, metric, tenant, file)
    found = trend_of(value)
    if found is None:
        raise UserError("there is no trend: too few hours have readings", hint="It takes twelve.")
    reached = None
    if limit is not None:
        forecast = _predict(value, hours)
        passage = first_passage(forecast.paths(PATHS), forecast.latest, limit)
        reached = {
            share: None if hour is None else issued_at + timedelta(hours=hour)
            for share, hour in passage._asdict().items()
        }
    if as_json:
        print_json({**found._asdict(), "significant": found.significant, "limit": limit, "reached": reached})
        return
    sure = "significant" if found.significant else "not significant"
    typer.echo(
        f"{found.per_day:+.4g} a day ({found.low:+.4g} to {found.high:+.4g}), {sure}: p = {found.p_value:.2g}"
    )
    for share, at in (reached or {}).items():
        when = f"none within {hours} hours" if at is None else f"by {at:%F %H:%M}"
        typer.echo(f"{limit:g} is reached with {share[1:]} %: {when}")


def _predict(value: Float64, hours: int) -> Forecast:
    from jobs.forecast.pool import predict_all
    from streams.core.forecast.predict import Unpredictable
    from streams.errors import UserError

    ((_, found),) = predict_all([(None, value)], hours, processes=1)
    if isinstance(found, Unpredictable):
        raise UserError(
            f"there is no forecast: {found.value}",
            hint="Fewer --hours take fewer days: see docs/forecasting.md.",
        )
    return found


def _hours_of(source: str, metric: str, tenant: str, file: str) -> tuple[datetime, Float64]:
    """Return when the last hour ends, and the hours up to it."""
    from jobs.forecast import store
    from jobs.forecast.file import read_file
    from streams.errors import UsageError
    from streams.settings import Settings

    if bool(file) == bool(source and metric):
        raise UsageError("name either a source and a metric, or a file", hint="Like: --file pump-1.csv")
    if file:
        return read_file(file)
    with store.open_session(Settings().writer_dsn) as session:
        series = store.find_series(session, tenant, source, metric)
        return series.issued_at, store.read_hours(session, series)
