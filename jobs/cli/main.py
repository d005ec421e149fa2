"""The command-line program ``streamgauge``: one verb a job."""

from __future__ import annotations

import typer

app = typer.Typer(
    name="streamgauge",
    help="Telemetry from Kafka into TimescaleDB, exactly once.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


def main() -> None:
    """Run the program."""
    app()
