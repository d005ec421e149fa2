"""``streamgauge archive``: readings as Parquet files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.output import DryRunFlag, JsonFlag, console, examples, print_json
from jobs.cli.retention import carry_out, find_target

if TYPE_CHECKING:
    from jobs.archive.manifest import Choice
    from jobs.archive.target import Target
    from streams.settings import Settings

app = typer.Typer(no_args_is_help=True)


def day(text: str) -> datetime:
    """Return the moment that ``text`` says: a date (UTC), or a time of RFC 3339.

    >>> day("2026-01-31").isoformat()
    '2026-01-31T00:00:00+00:00'
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time: write 2026-01-31") from error
    return at if at.tzinfo else at.replace(tzinfo=UTC)


Tenant = Annotated[str | None, typer.Option(help="Only files of this tenant.")]
Since = Annotated[
    datetime | None, typer.Option("--from", parser=day, metavar="DATE", help="Only of this time (UTC) on.")
]
Until = Annotated[
    datetime | None, typer.Option("--to", parser=day, metavar="DATE", help="Only of before this time (UTC).")
]

All = Annotated[bool, typer.Option("--all", help="Of all times, instead of --from and --to.")]


@app.command(epilog=examples("streamgauge archive run --dry-run", "streamgauge archive run --json"))
def run(
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Give up and archive what the policies do not keep, and drop none of it yet.

    `streamgauge retention run` does the same and then drops it.

    Exit codes: 0 ok, 1 something is held and not archived yet, the archive cannot be written, or another run
    is under way, 3 the database cannot be reached.
    """
    carry_out(drop=False, dry_run=dry_run, as_json=as_json)


@app.command("list", epilog=examples("streamgauge archive list --tenant acme --from 2026-01-01"))
def list_(tenant: Tenant = None, since: Since = None, until: Until = None, as_json: JsonFlag = False) -> None:
    """List the files of the archive, the earliest first.

    Exit codes: 0 ok, 3 the database cannot be reached.
    """
    import psycopg
    from rich.markup import escape
    from rich.table import Table

    from jobs.archive.manifest import list_entries
    from jobs.top.quantity import quantity
    from jobs.untrusted import printable
    from streams.settings import Settings

    with psycopg.connect(Settings().owner_dsn, autocommit=True) as session:
        session.execute("SET search_path TO public; SET timezone TO 'UTC'")
        files = list_entries(session, _choice(tenant, since, until))
    if as_json:
        print_json([file.document() for file in files])
        return
    if not files:
        typer.echo("the archive has no such files")
        return
    table = Table(
        "path", "tenant", "readings", "series", "size", "restored until", box=None, header_style="bold"
    )
    for file in files:
        restored = f"{file.restored_until:%F}" if file.restored_until else ""
        counts = (f"{file.readings:,}", f"{file.series:,}", quantity(file.bytes, "By"))
        table.add_row(*map(escape, (file.path, printable(file.tenant), *counts, restored)))
    console().print(table)


@app.command(epilog=examples("streamgauge archive verify", "streamgauge archive verify --tenant acme --json"))
def verify(
    tenant: Tenant = None, since: Since = None, until: Until = None, as_json: JsonFlag = False
) -> None:
    """Compare the files of the archive with what was written, byte by byte.

    Exit codes: 0 all are as they were written, 1 one is damaged or cannot be read, 3 the database cannot be
    reached.
    """
    import psycopg

    from jobs.archive.manifest import check_file, list_entries
    from jobs.archive.target import ArchiveError
    from streams.settings import Settings

    settings = Settings()
    target = _require_target(settings)
    with psycopg.connect(settings.owner_dsn, autocommit=True) as session:
        session.execute("SET search_path TO public")
        files = list_entries(session, _choice(tenant, since, until))
    wrong = {}
    for file in files:
        try:
            check_file(target, file)
        except ArchiveError as error:
            wrong[file.path] = str(error)
            typer.secho(f"error: {error}", fg="red", err=True)
    if as_json:
        print_json({"ok": not wrong, "files": len(files), "wrong": wrong})
    else:
        typer.echo(f"{len(files) - len(wrong):,} of {len(files):,} files are as they were written")
    if wrong:
        raise typer.Exit(1)


@app.command(
    epilog=examples("streamgauge archive restore --tenant acme --from 2026-01-31 --to 2026-02-01 --days 14")
)
def restore(
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    everything: All = False,
    days: Annotated[int, typer.Option(min=1, help="They are not dropped again for so many days.")] = 7,
    as_json: JsonFlag = False,
) -> None:
    """Bring archived readings back into table readings, each once. Rollups stay as they are.

    How many there are is said first. It may be ended at any moment and begun again: what is stored is
    recognised. `streamgauge archive release` has them dropped before their days are over.

    Exit codes: 0 ok, 1 a file is damaged or missing, or there is none such, 2 no time is named, 3 the
    database cannot be reached.
    """
    from datetime import timedelta

    from jobs.archive.manifest import list_entries
    from jobs.archive.restore import restore as restore_file
    from jobs.retention.run import open_session
    from streams.errors import UserError
    from streams.settings import Settings

    choice = _require_time(tenant, since, until, everything=everything)
    settings = Settings()
    target = _require_target(settings)
    held_until = datetime.now(UTC) + timedelta(days=days)
    with open_session(settings.owner_dsn) as session:
        files = list_entries(session, choice)
        if not files:
            raise UserError("the archive has no such files", hint="See: streamgauge archive list")
        readings = sum(file.readings for file in files)
        typer.echo(
            f"{readings:,} readings of {len(files):,} files, kept until {held_until:%F %R} UTC", err=True
        )
        done = [(file, restore_file(session, target, file, held_until)) for file in files]
    if as_json:
        print_json([{"path": file.path, **came._asdict()} for file, came in done])
        return
    for file, came in done:
        typer.echo(f"{file.path}: {came.restored:,} restored, {came.known:,} were there")
        if came.not_given_up:
            typer.echo(f"  {came.not_given_up:,} are of a time that is kept: send them to the topic instead")


@app.command(epilog=examples("streamgauge archive release --tenant acme --from 2026-01-31 --to 2026-02-01"))
def release(
    tenant: Tenant = None,
    since: Since = None,
    until: Until = None,
    everything: All = False,
    as_json: JsonFlag = False,
) -> None:
    """Keep restored readings no longer: the next `streamgauge retention run` drops them again.

    Exit codes: 0 ok, 1 another run is under way, 2 no time is named, 3 the database cannot be reached.
    """
    from jobs.archive.manifest import release_files
    from jobs.retention.run import open_session
    from streams.settings import Settings

    choice = _require_time(tenant, since, until, everything=everything)
    with open_session(Settings().owner_dsn) as session:
        released = release_files(session, choice, datetime.now(UTC))
    if as_json:
        print_json({"released": released})
    else:
        typer.echo(f"{released:,} files are kept restored no longer")


def _require_time(
    tenant: str | None, since: datetime | None, until: datetime | None, *, everything: bool
) -> Choice:
    """Return what is meant, which nobody may mean by leaving options out."""
    times = [since, until]
    if everything and times != [None, None]:
        raise typer.BadParameter("--all goes with neither --from nor --to")
    if not everything and None in times:
        raise typer.BadParameter("name the time with --from and --to, or give --all")
    return _choice(tenant, since, until)


def _choice(tenant: str | None, since: datetime | None, until: datetime | None) -> Choice:
    from jobs.archive.manifest import Choice

    return Choice(tenant=tenant, since=since, until=until)


def _require_target(settings: Settings) -> Target:
    from jobs.archive.target import ArchiveError

    target = find_target(settings)
    if target is None:
        raise ArchiveError(
            "settings name no archive", hint="Set STREAMGAUGE_ARCHIVE_URL to a directory or s3://…"
        )
    return target
