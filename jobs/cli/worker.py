"""``streamgauge worker``: runs ingest workers until it is told to stop."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.cli.output import examples

app = typer.Typer()


@app.command(epilog=examples("streamgauge worker", "streamgauge worker --workers 2"))
def worker(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes to keep alive.")] = 1,
) -> None:
    """Read telemetry from Kafka into TimescaleDB, exactly once, until stopped.

    Keeps the worker processes alive: one that dies is restarted, with back-off. SIGTERM and Ctrl-C
    store what was taken, leave the consumer group and end within 10 s. Exit codes: 0 every worker
    ended in good order, 1 one did not.
    """
    from streams.logs import set_up_logging
    from streams.settings import Settings
    from streams.supervisor import Supervisor, worker_command

    settings = Settings()
    set_up_logging(settings.log_format, settings.log_level)
    raise typer.Exit(Supervisor(worker_command(), workers).run())
