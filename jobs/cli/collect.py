"""``streamgauge collect``: this machine's telemetry."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from jobs.cli.output import JsonFlag, examples, print_json

app = typer.Typer()


@app.command(
    epilog=examples(
        "streamgauge collect",
        "streamgauge collect --interval 5 --site north",
        "streamgauge collect --batches 10 --json",
    )
)
def collect(
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between samples.")] = 1.0,
    host: Annotated[str | None, typer.Option(help="Name of this machine; default: its host name.")] = None,
    site: Annotated[str, typer.Option(help="Attribute site of all series.")] = "",
    tenant: Annotated[str, typer.Option(help="Tenant of all series.")] = "default",
    processes: Annotated[int, typer.Option(min=0, max=50, help="Top processes told at most.")] = 5,
    keep: Annotated[
        int, typer.Option(min=1000, help="Readings kept while Kafka is away; then the oldest go.")
    ] = 200_000,
    batches: Annotated[
        int | None, typer.Option(min=1, help="End after so many batches; default: go on until stopped.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send this machine's telemetry to Kafka until stopped.

    CPU, memory, swap, file systems, disks, network, load, temperatures and top processes, named as
    OpenTelemetry does, one batch an interval. Ends in good order on Ctrl-C and SIGTERM, and when the
    pipe that is its input is closed.

    Exit codes: 0 all was delivered, 1 readings were dropped because the buffer was full, 3 Kafka did
    not take the last ones.
    """
    import socket
    import time

    from jobs.collect import IN_FLIGHT_MESSAGES, Clock, Collector, Host
    from jobs.epoch import next_epoch
    from jobs.host.snapshot import take_snapshot
    from jobs.producer import ReadingsProducer
    from jobs.stopping import Stop, starter_is_gone
    from streams.logs import set_up_logging
    from streams.settings import Settings, state_dir

    settings = Settings()
    set_up_logging(settings.log_format, settings.log_level)
    name = host or socket.gethostname()
    epoch = next_epoch(state_dir() / "epochs", f"host-{name}", time.time_ns() // 1_000_000)
    collector = Collector(
        Host(name, epoch, tenant=tenant, site=site),
        ReadingsProducer(
            settings.kafka, settings.readings_topic, timeout_s=None, max_messages=IN_FLIGHT_MESSAGES
        ),
        take_snapshot,
        Clock(now_us=lambda: time.time_ns() // 1000, monotonic_s=time.monotonic),
        interval_s=interval,
        max_waiting=keep,
        processes=processes,
    )
    with Stop() as stop:
        collected = collector.run(lambda: bool(stop) or starter_is_gone(), batches)
    if as_json:
        print_json(asdict(collected))
    else:
        typer.echo(
            f"collected {collected.readings:,} readings in {collected.batches:,} batches:"
            f" {collected.delivered:,} delivered, {collected.undelivered:,} not,"
            f" {collected.dropped:,} dropped"
        )
    if collected.undelivered or collected.dropped:
        raise typer.Exit(3 if collected.undelivered else 1)
