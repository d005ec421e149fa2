"""The command-line program ``streamgauge``: one verb a job.

Every area has a module here with a ``typer.Typer`` named ``app``; it is registered below by one
line. Modules import what is heavy inside their commands, so that ``--help`` answers at once; for the
same reason help is plain text, since drawing it with rich would take longer than all the rest.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from jobs.cli import (
    anomalies,
    archive,
    benchmark,
    chaos,
    collect,
    config,
    database,
    dead_letters,
    demo,
    derived,
    detect,
    doctor,
    forecast,
    generate,
    hierarchy,
    producers,
    publish,
    resume,
    retention,
    stack,
    top,
    topics,
    verify,
    worker,
)
from jobs.cli.explain import explain

app = typer.Typer(
    name="streamgauge",
    help="Telemetry from Kafka into TimescaleDB, exactly once.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(demo.app)
app.add_typer(worker.app)
app.add_typer(collect.app)
app.add_typer(top.app)
app.add_typer(publish.app)
app.add_typer(generate.app)
app.add_typer(database.app)
app.add_typer(dead_letters.app, name="dead-letters", help="Input that was refused, and why.")
app.add_typer(derived.app, name="derived", help="Metrics that are computed from others.")
app.add_typer(hierarchy.app, name="hierarchy", help="Where series stand: site, zone, system, component.")
app.add_typer(producers.app)
app.add_typer(resume.app)
app.add_typer(verify.app)
app.add_typer(retention.app, name="retention", help="How long readings and rollups are kept.")
app.add_typer(archive.app, name="archive", help="Readings as Parquet files, before they are dropped.")
app.add_typer(detect.app)
app.add_typer(anomalies.app, name="anomalies", help="Episodes that detectors told of, and labels of them.")
app.add_typer(forecast.app, name="forecast", help="What series will do, and what they tend to.")
app.add_typer(benchmark.app, name="benchmark")
app.add_typer(chaos.app)
app.add_typer(stack.app, name="stack")
app.add_typer(topics.app, name="topics")
app.add_typer(doctor.app)
app.add_typer(config.app, name="config", help="What the settings are and where they came from.")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"streamgauge {version('streamgauge')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and end.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Telemetry from Kafka into TimescaleDB, exactly once."""


def main() -> None:
    """Run the program: what a user can put right ends in a sentence, only a defect in a traceback."""
    try:
        app()
    except Exception as error:
        failure = explain(error)
        if failure is None:
            raise
        typer.secho(f"error: {failure}", fg="red", err=True)
        if failure.hint:
            typer.echo(failure.hint, err=True)
        sys.exit(failure.exit_code)
