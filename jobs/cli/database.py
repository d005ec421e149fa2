"""The database's verbs: ``migrate`` and ``sql``."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from jobs.cli.output import JsonFlag, examples, print_json

app = typer.Typer()


@app.command(epilog=examples("streamgauge migrate --dry-run", "streamgauge migrate --json"))
def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what is missing, change nothing.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Bring the database to the schema of this program, and to the rollup levels of its settings.

    Changes nothing where it is there already.

    Exit codes: 0 ok, 1 the database cannot be migrated, 3 it cannot be reached.
    """
    from sinks.timescale.levels import apply_levels
    from sinks.timescale.migrate import migrate as apply
    from streams.settings import Settings

    settings = Settings()
    names = apply(settings.owner_dsn, dry_run=dry_run)
    # Of a schema that is not there yet no levels are known.
    levels = "" if names and dry_run else apply_levels(settings.owner_dsn, settings.rollup_widths_us, dry_run)
    if as_json:
        print_json({"dry_run": dry_run, "migrations": names, "levels_changed": bool(levels)})
        return
    for name in names:
        typer.echo(f"{'would apply' if dry_run else 'applied'} {name}")
    if levels:
        typer.echo(
            f"{'would make of rollups' if dry_run else 'made of rollups'} {settings.rollup_levels}: {levels}"
        )
    if not names and not levels:
        typer.echo("the database is up to date")


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
