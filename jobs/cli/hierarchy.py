"""``streamgauge hierarchy``: where series stand, and where they have stood."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json

app = typer.Typer(no_args_is_help=True)

Tenant = Annotated[str, typer.Option(help="Whose series.")]
Since = Annotated[str, typer.Option(metavar="TIME", help="From when on: now, ever, or a date.")]
PATH = "SITE/ZONE/SYSTEM/COMPONENT"


@app.command(
    epilog=examples("streamgauge hierarchy show", "streamgauge hierarchy show north --at 2026-01-31 --json")
)
def show(
    node: Annotated[str, typer.Argument(metavar=f"[{PATH}]", help="Only what stands there.")] = "/",
    at: Annotated[str, typer.Option(metavar="TIME", help="As it was then: now, or a date.")] = "now",
    tenant: Tenant = "default",
    as_json: JsonFlag = False,
) -> None:
    """Show in which nodes of the hierarchy series stand. Exit codes: 0 ok, 1 no such time, 3 no database."""
    from rich.markup import escape
    from rich.table import Table

    from jobs import hierarchy
    from jobs.untrusted import printable
    from streams.core.places import LEVELS, node_path
    from streams.settings import Settings

    wanted, then = hierarchy.parse_node(node), hierarchy.parse_since(at)
    found = hierarchy.show(Settings().reader_dsn, tenant, wanted, then)
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo(f"no series of tenant {printable(tenant)} stands in {printable(node)}")
        return
    table = Table("node", "sources", "series", "as their producers say", box=None, header_style="bold")
    for row in found:
        path = node_path([row[level] for level in LEVELS])
        counts = (str(row["sources"]), str(row["series"]), str(row["as_produced"]))
        table.add_row(escape(printable(path)), *counts)
    console().print(table)


@app.command(
    epilog=examples(
        "streamgauge hierarchy place pump-1 north/hall-1/cooling --since ever",
        "streamgauge hierarchy place pump-1 north/hall-2//motor --metric rpm --since 2026-01-31T12:00Z",
        "streamgauge hierarchy place --file places.csv",
    )
)
def place(
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="What is measured.")] = None,
    node: Annotated[str | None, typer.Argument(metavar=f"[{PATH}]", help="Where it stands.")] = None,
    metric: Annotated[str | None, typer.Option(help="Only this one of its series.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="CSV: source, site, zone, system, component; metric, tenant, since if wanted."),
    ] = None,
    since: Since = "now",
    tenant: Tenant = "default",
    as_json: JsonFlag = False,
) -> None:
    """Say where a source stands, with all its series or one, from a time on until it is put elsewhere.

    What nobody put anywhere stands where its producer says, by attributes site, zone, system, component.
    A file is put in as a whole, or not at all.

    Exit codes: 0 done, 1 it was refused, 2 it is not said what goes where, 3 the database cannot be reached.
    """
    from jobs import hierarchy
    from jobs.untrusted import printable
    from streams.errors import UsageError
    from streams.settings import Settings

    if (file is None) == (source is None) or (source is None) != (node is None) or (file and metric):
        raise UsageError("say what goes where", hint="Give a source and a node, or --file.")
    at = hierarchy.parse_since(since)
    if file is not None:
        placements = hierarchy.read_placements(file, tenant, at)
    else:
        placements = [hierarchy.Placement(source or "", metric, hierarchy.parse_node(node or ""), tenant, at)]
    warnings = hierarchy.place(Settings().writer_dsn, placements)
    for warning in warnings:
        typer.echo(f"warning: {printable(warning)}", err=True)
    if as_json:
        print_json({"placed": len(placements), "warnings": warnings})
    else:
        typer.echo(f"placed {len(placements):,}")


@app.command(
    epilog=examples(
        "streamgauge hierarchy move north/hall-1 south --since 2026-01-31",
        "streamgauge hierarchy move north / --as north-west",
    )
)
def move(
    node: Annotated[str, typer.Argument(metavar=PATH, help="What is moved, with all that stands in it.")],
    into: Annotated[str, typer.Argument(metavar="INTO", help="The node above; / for the tenant.")],
    since: Since = "now",
    as_name: Annotated[str | None, typer.Option("--as", metavar="NAME", help="Its name there.")] = None,
    tenant: Tenant = "default",
    as_json: JsonFlag = False,
) -> None:
    """Move a node of the hierarchy from a time on; what was before stays as it was.

    Exit codes: 0 done, 1 it was refused: there is no such node, or it cannot stand there, 3 no database.
    """
    from jobs import hierarchy
    from streams.settings import Settings

    what, where, at = hierarchy.parse_node(node), hierarchy.parse_node(into), hierarchy.parse_since(since)
    moved = hierarchy.move(Settings().writer_dsn, tenant, what, where, at, as_name)
    if as_json:
        print_json({"moved": moved})
    else:
        typer.echo(f"moved {moved:,} sources and series")
