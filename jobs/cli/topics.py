"""``streamgauge topics``: the Kafka topics of this program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json

if TYPE_CHECKING:
    from jobs.topics import Change, Found
    from schemas.topics import Topic

app = typer.Typer(help="The Kafka topics of this program.", no_args_is_help=True)

_COLOURS = {"create": "green", "raise": "green", "set": "green", "keep": "yellow"}


@app.command(epilog=examples("streamgauge topics apply --dry-run", "streamgauge topics apply"))
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be done.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Create missing topics, and raise what is below its declaration.

    Shows each difference. Nothing is lowered, and what somebody has set for a topic is kept.

    Exit codes: 0 done, or nothing to do, 3 Kafka is away or refuses.
    """
    from jobs.topics import TopicAdmin, plan, wanted_topics
    from streams.settings import Settings

    settings = Settings()
    topics, admin = wanted_topics(settings), TopicAdmin(settings.kafka)
    changes = plan(topics, admin.find([topic.name for topic in topics]))
    if not dry_run:
        admin.apply(changes, topics)
    if as_json:
        print_json({"dry_run": dry_run, "changes": [asdict(change) for change in changes]})
    else:
        _print_changes(changes, dry_run)


@app.command(name="list", epilog=examples("streamgauge topics list", "streamgauge topics list --json"))
def list_topics(as_json: JsonFlag = False) -> None:
    """Show the topics, what they carry and how they are set up.

    Exit codes: 0 all are there, 1 one is missing, 3 Kafka is away.
    """
    from jobs.topics import TopicAdmin, wanted_topics
    from streams.settings import Settings

    settings = Settings()
    topics = wanted_topics(settings)
    found = TopicAdmin(settings.kafka).find([topic.name for topic in topics])
    if as_json:
        print_json([_document(topic, found.get(topic.name)) for topic in topics])
    else:
        _print_table(topics, found)
    if len(found) < len(topics):
        raise typer.Exit(1)


def _document(topic: Topic, there: Found | None) -> dict[str, Any]:
    return {
        "name": topic.name,
        "carries": topic.carries,
        "key": topic.key,
        "exists": there is not None,
        "partitions": there.partitions if there else 0,
        "replication": there.replication if there else 0,
        "config": {name: there.config[name].value for name in topic.config} if there else {},
    }


def _print_table(topics: Sequence[Topic], found: Mapping[str, Found]) -> None:
    from rich.table import Table

    table = Table("topic", "partitions", "copies", "carries", "key", box=None, header_style="bold")
    for topic in topics:
        there = found.get(topic.name)
        sizes = (str(there.partitions), str(there.replication)) if there else ("missing", "")
        table.add_row(topic.name, *sizes, topic.carries, topic.key)
    console().print(table)


def _print_changes(changes: Sequence[Change], dry_run: bool) -> None:
    for change in changes:
        arrow = f"{change.current} → {change.wanted}" if change.current else change.wanted
        why = f" ({change.why})" if change.why else ""
        typer.secho(
            f"{change.action:<6} {change.topic} {change.what}: {arrow}{why}", fg=_COLOURS[change.action]
        )
    if not changes:
        typer.echo("all topics are as declared")
    elif dry_run:
        typer.echo("nothing was changed: this was a dry run")
