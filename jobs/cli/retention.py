"""``streamgauge retention``: how long readings and rollups are kept, and doing so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.output import DryRunFlag, JsonFlag, console, examples, print_json

if TYPE_CHECKING:
    from jobs.archive.target import Target
    from jobs.retention.run import Report
    from streams.settings import Settings

app = typer.Typer(no_args_is_help=True)

FOREVER = "forever"
MOST_REASONS = 5


def days(text: str) -> int | None:
    """Return how many days ``text`` says: a number, ``7d``, or ``forever``.

    >>> days("90"), days("7d"), days("forever")
    (90, 7, None)
    """
    if text == FOREVER:
        return None
    number = text.removesuffix("d")
    if not (number.isascii() and number.isdigit() and 0 < int(number) <= 100_000):
        raise typer.BadParameter(f"{text!r} is no number of days: write 90, or {FOREVER}")
    return int(number)


Tenant = Annotated[str, typer.Option(help="Tenants that it is for; * stands for any letters.")]
Metric = Annotated[str, typer.Option(help="Metrics that it is for; * stands for any letters.")]


@app.command(epilog=examples("streamgauge retention show", "streamgauge retention show --json"))
def show(as_json: JsonFlag = False) -> None:
    """Show the policies, and what keeps readings from being given up.

    Exit codes: 0 ok, 3 the database cannot be reached.
    """
    import psycopg
    from rich.markup import escape
    from rich.table import Table

    from jobs.retention.giving_up import given_up, list_holds
    from jobs.retention.policies import list_policies
    from streams.settings import Settings

    with psycopg.connect(Settings().owner_dsn, autocommit=True) as session:
        session.execute("SET search_path TO public; SET timezone TO 'UTC'")
        policies, holds, given = list_policies(session), list_holds(session), given_up(session)
    if as_json:
        print_json(
            {
                "policies": policies,
                "kept_from": given.everywhere,
                "series_kept_from_later": sum(len(series) for _, series in given.later),
                "holds": [hold._asdict() for hold in holds],
            }
        )
        return
    table = Table("tenant", "metric", "readings", "rollups", "archived", box=None, header_style="bold")
    for policy in policies:
        kept = [f"{each} days" if each else FOREVER for each in (policy.raw_days, policy.rollup_days)]
        table.add_row(*map(escape, (policy.tenant, policy.metric, *kept, "yes" if policy.archived else "no")))
    console().print(table)
    typer.echo(
        f"readings are kept from {given.everywhere:%F} on" if given.everywhere else "all readings are kept"
    )
    for hold in holds[:MOST_REASONS]:
        typer.echo(
            f"nothing from {hold.kept_from:%F} on is given up" if hold.kept_from else "nothing is given up",
            nl=False,
        )
        typer.echo(f": {hold.reason}")


@app.command(
    "set",
    epilog=examples(
        "streamgauge retention set --raw 30 --rollups 730",
        "streamgauge retention set --metric 'debug.*' --raw 7 --rollups 30 --no-archive",
        "streamgauge retention set --metric 'debug.*' --remove",
    ),
)
def set_(
    tenant: Tenant = "*",
    metric: Metric = "*",
    raw: Annotated[
        str, typer.Option(metavar="DAYS", help="Readings are kept for so long, or forever.")
    ] = "90",
    rollups: Annotated[
        str, typer.Option(metavar="DAYS", help="Their rollups are kept for so long, or forever.")
    ] = "1826",
    archived: Annotated[
        bool, typer.Option("--archive/--no-archive", help="Whether to drop only what an archive has.")
    ] = True,
    remove: Annotated[bool, typer.Option("--remove", help="Have the policy count no longer.")] = False,
) -> None:
    """Set the policy for some tenants and metrics. What is dropped already does not come back by it.

    Of several that fit a series the one with the more exact tenant counts, then the more exact metric.

    Exit codes: 0 ok, 1 there is no such policy, 2 it makes no sense, 3 the database cannot be reached.
    """
    import psycopg

    from jobs.retention.policies import Policy, remove_policy, set_policy
    from streams.settings import Settings

    policy = Policy(tenant, metric, days(raw), days(rollups), archived)
    with psycopg.connect(Settings().owner_dsn, autocommit=True) as session:
        session.execute("SET search_path TO public")
        if remove:
            remove_policy(session, tenant, metric)
        else:
            set_policy(session, policy)
    typer.echo("removed" if remove else "set; the next `streamgauge retention run` goes by it")


@app.command(
    epilog=examples(
        "streamgauge retention run --dry-run", "streamgauge retention run", "streamgauge retention run --json"
    )
)
def run(
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Give up, archive, verify, and drop what the policies do not keep. Run it once a day.

    It may be ended at any moment, and goes on from there the next time.

    Exit codes: 0 ok, 1 something is held and not dropped yet, the archive cannot be written or is damaged,
    or another run is under way, 3 the database cannot be reached.
    """
    carry_out(drop=True, dry_run=dry_run, as_json=as_json)


def carry_out(*, drop: bool, dry_run: bool, as_json: bool) -> None:
    """Run retention, or a part of it, show how far it is, and tell what came of it."""
    from datetime import UTC, datetime

    from jobs.retention import run as retention
    from jobs.retention.bar import Bar
    from jobs.retention.columnstore import keep_compressed
    from streams.settings import Settings

    settings = Settings()
    target = find_target(settings)
    now = datetime.now(UTC)
    with retention.open_session(settings.owner_dsn) as session:
        if dry_run:
            report = retention.plan(session, now, archive_known=target is not None)
        else:
            if drop:
                keep_compressed(session, settings.compress_after_days)
            with Bar(console(stderr=True)) as bar:
                report = retention.run(session, target, now, drop=drop, watcher=bar)
    if as_json:
        print_json(report.document())
    else:
        _show(report)
    if report.held or report.not_given_up or any(outcome.held for outcome in report.chunks):
        raise typer.Exit(1)


def find_target(settings: Settings) -> Target | None:
    """Return where the archive is; None where settings name none. Raises ArchiveError."""
    from jobs.archive.target import Target

    return Target(settings.archive_url) if settings.archive_url else None


def _show(report: Report) -> None:
    from jobs.top.quantity import quantity

    would = "would be " if report.dry_run else ""
    kept = f"{report.kept_from:%F} on" if report.kept_from else "ever"
    typer.echo(f"readings {'would be' if report.dry_run else 'are'} kept from {kept}")
    for reason in report.not_given_up[:MOST_REASONS]:
        typer.echo(f"  held, though policies keep less: {reason}")
    for each in report.chunks:
        what = "the chunk" if each.whole else "rows of it"
        done = (
            f"held: {each.held}"
            if each.held
            else f"{would}dropped"
            if each.dropped or report.dry_run
            else "kept"
        )
        archived = f", archived in {quantity(each.archived_bytes, 'By')}" if each.archived else ""
        what = f"{each.readings:,} readings, {what} of {quantity(each.bytes, 'By')}"
        typer.echo(f"{each.chunk}  {what}{archived}: {done}")
    for level, chunks in report.rollup_chunks.items():
        if chunks or report.rollup_rows[level]:
            what = level if level in ("forecasts", "anomalies") else f"rollups {level}"
            typer.echo(f"{what}: {chunks} chunks and {report.rollup_rows[level]:,} rows dropped")
    if report.held:
        typer.echo(f"rollups are held: {report.held}")
    if not report.chunks:
        typer.echo("there is nothing to drop")
