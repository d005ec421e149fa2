"""``streamgauge anomalies``: episodes that detectors told of, and what people say of them."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated

import typer

from jobs.cli.dead_letters import me
from jobs.cli.dead_letters import since as since_time
from jobs.cli.output import JsonFlag, console, examples, print_json

app = typer.Typer(no_args_is_help=True)


class Least(StrEnum):
    """How severe an episode is at least."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Verdict(StrEnum):
    """Whether an episode was worth telling of."""

    TRUE = "true"
    FALSE = "false"


@app.command(
    "list",
    epilog=examples(
        "streamgauge anomalies list --since 6h", "streamgauge anomalies list --severity high --json"
    ),
)
def list_(
    since: Annotated[
        datetime, typer.Option(parser=since_time, metavar="TIME", help="Begun since: 2h, 7d, or a date.")
    ] = "1d",  # type: ignore[assignment]
    severity: Annotated[Least, typer.Option(help="So severe at least.")] = Least.LOW,
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at most.")] = 50,
    as_json: JsonFlag = False,
) -> None:
    """List the newest episodes, newest first, with who is suspected: what moved first and most.

    Suspicion is a share among the episodes of one machine that overlap; a machine is what stands before
    the first slash of a source. Exit codes: 0 ok, 3 the database cannot be reached.
    """
    from rich.markup import escape
    from rich.table import Table

    from jobs.feedback import described, list_episodes
    from streams.core.detect.episodes import Severity
    from streams.settings import Settings

    found = list_episodes(Settings().writer_dsn, since, Severity[severity.name], tenant, limit)
    if as_json:
        print_json([described(shown) for shown in found])
        return
    if not found:
        typer.echo("there are no such episodes")
        return
    table = Table(
        "id", "from (UTC)", "to", "source", "metric", "severity", "found by", "suspicion", "label",
        box=None, header_style="bold",
    )  # fmt: skip
    for shown in found:
        until = "" if shown.ended_at is None else f"{shown.ended_at.astimezone(UTC):%T}"
        said = "" if shown.worth_it is None else f"{str(shown.worth_it).lower()} ({shown.labelled_by})"
        cells = (
            str(shown.episode)[:13],
            f"{shown.started_at.astimezone(UTC):%F %T}",
            until,
            shown.source,
            shown.metric,
            Severity(shown.severity).name.lower(),
            f"{shown.detector}: {shown.reason}",
            f"{shown.suspicion:.0%}",
            said,
        )
        table.add_row(*map(escape, cells))
    console().print(table)


@app.command(epilog=examples("streamgauge anomalies label 21f1b9a4 false"))
def label(
    episode: Annotated[str, typer.Argument(metavar="ID", help="As listed; its beginning is enough.")],
    verdict: Annotated[Verdict, typer.Argument(help="Whether it was worth telling of.")],
    by: Annotated[str | None, typer.Option(help="Who says it; default: this user at this host.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say whether an episode was worth telling of. What was said before stays; the latest word counts.

    Exit codes: 0 ok, 1 there is no such episode, or there are several, 3 the database cannot be reached.
    """
    from jobs import feedback
    from streams.settings import Settings

    who = by or me()
    found = feedback.label(Settings().writer_dsn, episode, worth_it=verdict is Verdict.TRUE, by=who)
    if as_json:
        print_json({"episode": str(found), "worth_it": verdict is Verdict.TRUE, "labelled_by": who})
    else:
        typer.echo(f"{found} is a {verdict.value} alarm, says {who}")


@app.command(epilog=examples("streamgauge anomalies suggest"))
def suggest(as_json: JsonFlag = False) -> None:
    """Suggest thresholds of the surprise for metrics with six labels or more. Nothing is applied.

    A threshold is made of the earlier two thirds of a metric's labels and loses no true alarm of those.
    What it would have done to the others, which it knows nothing of, stands beside it.

    Exit codes: 0 ok, 3 the database cannot be reached.
    """
    from rich.markup import escape
    from rich.table import Table

    from jobs.feedback import suggested
    from streams.settings import Settings

    found = suggested(Settings().writer_dsn)
    if as_json:
        print_json(
            [
                {**each._asdict(), "learnt": each.learnt._asdict(), "held_back": each.held_back._asdict()}
                for each in found
            ]
        )
        return
    if not found:
        typer.echo("the labels speak for no threshold: label more episodes, false ones among them")
        return
    table = Table(
        "metric", "surprise from", "true left", "false left", "held back: true left", "false left",
        box=None, header_style="bold",
    )  # fmt: skip
    for each in found:
        counts = [
            f"{left} of {of}"
            for outcome in (each.learnt, each.held_back)
            for of, left in ((outcome.true, outcome.true_left), (outcome.false, outcome.false_left))
        ]
        table.add_row(*map(escape, (each.metric, f"{each.threshold:.2f}", *counts)))
    console().print(table)
