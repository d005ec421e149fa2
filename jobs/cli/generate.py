"""``streamgauge generate``: synthetic load."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from jobs.cli.output import JsonFlag, examples, print_json

app = typer.Typer()


@app.command(
    epilog=examples(
        "streamgauge generate --readings 1000000 --batch 100",
        "streamgauge generate --readings 600000 --rate 20000 --encoding single --json",
    )
)
def generate(
    readings: Annotated[int, typer.Option(min=1, help="Readings to send.")] = 1_000_000,
    batch: Annotated[int, typer.Option(min=1, max=100_000, help="Readings in a batch message.")] = 100,
    producers: Annotated[int, typer.Option(min=1, help="Producers that the series are spread over.")] = 16,
    series: Annotated[int, typer.Option(min=1, help="Distinct series.")] = 1000,
    rate: Annotated[float, typer.Option(min=0, help="Readings a second; 0 is as fast as it goes.")] = 0,
    encoding: Annotated[
        Literal["batch", "single", "json", "json-array"],
        typer.Option(help="How readings are put into messages."),
    ] = "batch",
    seed: Annotated[int, typer.Option(help="Seed of the values.")] = 1,
    tenant: Annotated[str, typer.Option(help="Tenant of all series.")] = "default",
    start: Annotated[
        datetime | None, typer.Option(help="First event time, UTC; default: so that the last one is now.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Send synthetic readings to Kafka, and say what was sent.

    Each series has each event time once. Without --rate the readings of one series lie one second
    apart and end now, like a backlog. With --rate they are sent at that pace with the time of
    sending.

    Exit codes: 0 all was delivered, 3 Kafka did not take everything.
    """
    import time

    from jobs.generate import Encoding, Load, send
    from jobs.producer import ReadingsProducer
    from streams.settings import Settings

    now_us = time.time_ns() // 1000
    # Not below ten microseconds, or the metrics of an asset could not be told apart in time.
    interval_us = max(10, int(1e6 * series / rate)) if rate else 1_000_000
    if start is not None:
        start_us = round(start.replace(tzinfo=start.tzinfo or UTC).timestamp() * 1e6)
    else:
        start_us = now_us - (0 if rate else readings // series * interval_us)
    load = Load(
        readings=readings,
        batch=batch,
        producers=producers,
        series=series,
        start_us=start_us,
        interval_us=interval_us,
        epoch=now_us // 1000,
        encoding=Encoding(encoding),
        seed=seed,
        tenant=tenant,
    )
    settings = Settings()
    producer = ReadingsProducer(settings.kafka, settings.readings_topic)
    producer.require_topic()
    sent = send(load, producer, rate)
    if as_json:
        print_json(asdict(sent))
    else:
        typer.echo(
            f"sent {sent.readings:,} readings in {sent.messages:,} messages, {sent.bytes / 1e6:.1f} MB,"
            f" {sent.seconds:.1f} s, {sent.readings_per_s:,} readings/s"
        )
