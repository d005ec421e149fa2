"""``streamgauge chaos``: break everything that can break, and check that each reading is stored once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.output import console, examples
from streams.errors import UserError

app = typer.Typer()


@app.command(
    epilog=examples(
        "streamgauge chaos --seeds 10",
        "streamgauge chaos --seed 7 --fault worker-paused",
        "streamgauge chaos --seeds 300 --pairs --mutants --json chaos.jsonl --write docs/guarantees.md",
    )
)
def chaos(
    seed: Annotated[int, typer.Option(min=0, help="First seed; it decides on faults, moments and data.")] = 1,
    seeds: Annotated[int, typer.Option(min=0, help="How many seeds, one after the other.")] = 1,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="Draw from these alone; a+b strikes both at once. Default: the whole matrix."),
    ] = None,
    pairs: Annotated[bool, typer.Option("--pairs", help="Strike two at once in every second seed.")] = False,
    mutant: Annotated[
        list[str] | None, typer.Option(help="Run this mutant of the workers, which must be caught.")
    ] = None,
    mutants: Annotated[bool, typer.Option("--mutants", help="After the seeds run every mutant.")] = False,
    long: Annotated[
        bool, typer.Option("--long", help="Outages of full length: a broker paused 30 s.")
    ] = False,
    json: Annotated[
        Path | None, typer.Option(help="Append one line of JSON a seed to this file.", dir_okay=False)
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="Write the tables into this page: of all that --json holds, or of this run."),
    ] = None,
) -> None:
    """Break a stack of its own in every way of the fault matrix, and check every reading.

    Needs a checkout. It starts a Kafka, a TimescaleDB and a Redis beside those of the checkout, and
    removes them at the end. Each seed has a load of producers who keep ledgers, workers, and faults at
    random moments; then everything heals and drains, and `streamgauge verify` compares the log, the
    ledgers and the database. A seed that finds something prints the command that repeats it.

    Exit codes: 0 nothing was found and every mutant was caught, 1 otherwise, 130 interrupted.
    """
    try:
        from tests.chaos.session import Wish, session
    except ModuleNotFoundError as error:
        raise UserError(
            f"the fault matrix is part of the source alone ({error})",
            hint="Clone the repository and run `make chaos` there.",
        ) from error
    wish = Wish(
        seed,
        seeds,
        tuple(fault or ()),
        pairs,
        tuple(mutant or ()),
        mutants=mutants,
        long=long,
        json=json,
        write=write,
    )
    if not session(wish, console(stderr=True)):
        raise typer.Exit(1)
