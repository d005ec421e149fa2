"""The database's verbs: ``migrate``, ``dead-letters`` and ``sql``."""

from __future__ import annotations

import base64
import os
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json

if TYPE_CHECKING:
    from sinks.timescale.dead_letters import DeadLetter

app = typer.Typer()
dead_letters = typer.Typer(no_args_is_help=True, help="Input that was refused, and why.")
app.add_typer(dead_letters, name="dead-letters")


@app.command(epilog=examples("streamgauge migrate --dry-run", "streamgauge migrate --json"))
def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what is missing, change nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Bring the database to the schema of this program; changes nothing where it is there already.

    Exit codes: 0 ok, 1 the database cannot be migrated, 3 it cannot be reached.
    """
    from sinks.timescale.migrate import migrate as apply
    from streams.settings import Settings

    names = apply(Settings().owner_dsn, dry_run=dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "migrations": names})
        return
    for name in names:
        typer.echo(f"{'would apply' if dry_run else 'applied'} {name}")
    if not names:
        typer.echo("the database is up to date")


@dead_letters.command(
    "list",
    epilog=examples(
        "streamgauge dead-letters list --reason not_finite", "streamgauge dead-letters list -n 100 --json"
    ),
)
def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at most.")] = 20,
    reason: Annotated[str | None, typer.Option(help="Only those refused for this reason.")] = None,
    topic: Annotated[str | None, typer.Option(help="Only those from this topic.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the newest dead letters, newest first. Exit codes: 0 ok, 3 the database cannot be reached."""
    from rich.markup import escape
    from rich.table import Table

    from jobs.untrusted import printable
    from sinks.timescale.dead_letters import list_dead_letters
    from streams.settings import Settings

    letters = list_dead_letters(Settings().owner_dsn, limit, reason, topic)
    if as_json:
        print_json([_described(letter) for letter in letters])
        return
    if not letters:
        typer.echo("there are no dead letters")
        return
    table = Table("id", "at (UTC)", "record", "index", "reason", "detail", box=None, header_style="bold")
    for letter in letters:
        record = f"{letter.topic}/{letter.partition}@{letter.offset}"
        index = "" if letter.index < 0 else str(letter.index)
        at = f"{letter.at.astimezone(UTC):%F %T}"
        cells = (str(letter.id), at, record, index, letter.reason, printable(letter.detail))
        table.add_row(*map(escape, cells))
    console().print(table)


@dead_letters.command(
    epilog=examples("streamgauge dead-letters show 17", "streamgauge dead-letters show 17 --json")
)
def show(
    number: Annotated[int, typer.Argument(metavar="ID", help="As listed.")], as_json: JsonFlag = False
) -> None:
    """Show one dead letter with its payload: as JSON where it is that, else byte by byte.

    Exit codes: 0 ok, 1 there is no such dead letter, 3 the database cannot be reached.
    """
    from jobs.untrusted import payload_lines, printable
    from sinks.timescale.dead_letters import find_dead_letter
    from streams.errors import UserError
    from streams.settings import Settings

    letter = find_dead_letter(Settings().owner_dsn, number)
    if letter is None:
        raise UserError(f"there is no dead letter {number}", hint="See `streamgauge dead-letters list`.")
    described = _described(letter)
    if as_json:
        print_json({**described, "payload_base64": base64.b64encode(letter.payload).decode()})
        return
    for name, value in described.items():
        typer.echo(f"{name:<14}{printable(str(value))}")
    typer.echo()
    for line in payload_lines(letter.payload):
        typer.echo(line)


def _described(letter: DeadLetter) -> dict[str, Any]:
    names = ("id", "at", "topic", "partition", "offset", "index", "reason", "detail", "payload_bytes")
    return {name: getattr(letter, name) for name in names}


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    epilog=examples("streamgauge sql", 'streamgauge sql -c "SELECT * FROM pipeline_progress"'),
)
def sql(context: typer.Context) -> None:
    """Open psql on the database as an analyst, who can read and change nothing.

    Arguments are psql's own, and so is the exit code.
    """
    from jobs.psql import psql_command, psql_environment
    from streams.settings import Settings

    command = [*psql_command(), *context.args]
    os.execvpe(command[0], command, {**os.environ, **psql_environment(Settings().reader_dsn)})
