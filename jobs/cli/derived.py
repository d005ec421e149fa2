"""``streamgauge derived``: metrics that are computed from others."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from jobs.cli.output import DryRunFlag, JsonFlag, console, examples, print_json

app = typer.Typer(no_args_is_help=True)

Tenant = Annotated[str, typer.Option(help="Whose metrics.")]
Name = Annotated[str, typer.Argument(metavar="METRIC", help="Name of the derived metric.")]

MOST_SHOWN = 10


class Per(StrEnum):
    """What there is a result of."""

    SOURCE = "source"
    COMPONENT = "component"
    SYSTEM = "system"
    ZONE = "zone"
    SITE = "site"
    TENANT = "tenant"


@app.command(
    "define",
    epilog=examples(
        "streamgauge derived define availability '1 - sum(down_s) / bucket_s' --level 1h",
        "streamgauge derived define load 'mean(power) / mean(\"power.rated\")' --per site --unit 1",
        "streamgauge derived define score 'least(1, mean(load)) * mean(availability)' --dry-run",
    ),
)
def define_metric(
    metric: Name,
    expression: Annotated[
        str,
        typer.Argument(
            metavar="EXPRESSION",
            help="mean, sum, min, max, last, count or series of metrics; numbers; bucket_s; + - * /;"
            " abs, sqrt, exp, log, least, greatest.",
        ),
    ],
    per: Annotated[
        Per, typer.Option(help="A result for each source, or each node of this kind.")
    ] = Per.SOURCE,
    level: Annotated[str, typer.Option(help="The level of rollups that it is computed of.")] = "15m",
    node: Annotated[
        str, typer.Option(metavar="SITE/ZONE/SYSTEM/COMPONENT", help="Only what stands there.")
    ] = "/",
    unit: Annotated[str | None, typer.Option(help="What its values count, in UCUM.")] = None,
    since: Annotated[str, typer.Option(metavar="TIME", help="From when on: now, ever, or a date.")] = "now",
    tenant: Tenant = "default",
    dry_run: DryRunFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Define a metric that is computed from others, and show what it gives for the last 24 buckets.

    Each closed bucket becomes a reading, at the time when the bucket begins. What comes late corrects it.
    Who defines a metric again replaces it from then on.

    Exit codes: 0 done, 1 it was refused, 3 the database cannot be reached.
    """
    from jobs import derived
    from jobs.hierarchy import parse_node, parse_since
    from jobs.untrusted import printable
    from streams.core.derived import Without
    from streams.settings import Settings

    wanted = derived.Wanted(
        tenant, metric, expression, level, per.value, parse_node(node), unit, parse_since(since)
    )
    settings = Settings()
    tried = derived.define(
        settings.writer_dsn, wanted, dry_run=dry_run, max_name_chars=settings.max_name_chars
    )
    counts = {
        "results": tried.count(None),
        "missing": tried.count(Without.MISSING),
        "undefined": tried.count(Without.UNDEFINED),
    }
    if as_json:
        latest = {
            source: {"bucket": derived.told_at(bucket_us), "value": result.value, "without": result.without}
            for source, (bucket_us, result) in tried.latest.items()
        }
        print_json({"defined": not dry_run, **counts, "unknown": tried.unknown, "latest": latest})
        return
    for unknown in tried.unknown:
        typer.echo(f"warning: nobody produces {printable(unknown)} yet", err=True)
    for source, (bucket_us, result) in list(tried.latest.items())[:MOST_SHOWN]:
        shown = f"no result: {result.without}" if result.value is None else f"{result.value:g}"
        typer.echo(f"{derived.told_at(bucket_us)}  {printable(source)}  {shown}")
    if len(tried.latest) > MOST_SHOWN:
        typer.echo(f"and {len(tried.latest) - MOST_SHOWN:,} more")
    typer.echo(
        f"of the last {derived.TRIED_BUCKETS} buckets {counts['results']:,} have a result, in"
        f" {counts['missing']:,} inputs are missing, {counts['undefined']:,} have no value"
    )
    typer.echo("nothing was changed" if dry_run else f"defined {printable(metric)}")


@app.command("list", epilog=examples("streamgauge derived list", "streamgauge derived list --json"))
def list_metrics(tenant: Tenant = "default", as_json: JsonFlag = False) -> None:
    """List the derived metrics, how far they are computed, and how often they have no result.

    Exit codes: 0 ok, 3 the database cannot be reached.
    """
    from rich.markup import escape
    from rich.table import Table

    from jobs import derived
    from jobs.untrusted import printable
    from streams.settings import Settings

    found = derived.listed(Settings().reader_dsn, tenant)
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo(f"tenant {printable(tenant)} has no derived metrics")
        return
    table = Table(
        "metric", "expression", "per", "level", "computed to", "results", "missing", "undefined", "trouble",
        box=None, header_style="bold",
    )  # fmt: skip
    for row in found:
        to = f"{row['computed_to']:%F %H:%MZ}" if row["computed_to"] else "-"
        texts = (row["metric"], row["expression"], row["per"], row["level"], to)
        counts = (f"{row[each]:,}" for each in ("results", "missing", "undefined"))
        table.add_row(*(escape(printable(text)) for text in (*texts, *counts, row["trouble"] or "")))
    console().print(table)


@app.command(epilog=examples("streamgauge derived remove availability"))
def remove(metric: Name, tenant: Tenant = "default", as_json: JsonFlag = False) -> None:
    """Compute a metric no more; its readings stay.

    Exit codes: 0 done, 1 there is no such metric, or another one needs it, 3 the database cannot be reached.
    """
    from jobs import derived
    from jobs.untrusted import printable
    from streams.settings import Settings

    derived.remove(Settings().writer_dsn, tenant, metric)
    if as_json:
        print_json({"removed": metric})
    else:
        typer.echo(f"removed {printable(metric)}")
