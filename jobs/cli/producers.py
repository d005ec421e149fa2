"""``streamgauge producers``: who sends readings, and what is missing of those that are numbered."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json

app = typer.Typer()

GAPS_SHOWN = 3

_COLUMNS: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("tenant", "left"),
    ("producer", "left"),
    ("partition", "left"),
    ("epoch", "right"),
    ("last sequence", "right"),
    ("last seen (UTC)", "left"),
    ("missing", "left"),
)
_QUERY = """
    SELECT tenant, producer, topic, partition, epoch, last_seen, upper(seen) - 1 AS last_sequence,
           coalesce((SELECT sum(last_missing - first_missing + 1) FROM producer_gaps AS g
                     WHERE (g.topic, g.partition, g.tenant, g.producer)
                         = (p.topic, p.partition, p.tenant, p.producer)), 0)::bigint AS missing,
           ARRAY(SELECT first_missing || '-' || last_missing FROM producer_gaps AS g
                 WHERE (g.topic, g.partition, g.tenant, g.producer)
                     = (p.topic, p.partition, p.tenant, p.producer)
                 ORDER BY first_missing) AS gaps
    FROM producers AS p
    WHERE producer LIKE %(like)s
    ORDER BY missing DESC, tenant, producer, topic, partition
    LIMIT %(limit)s
"""


@app.command(
    epilog=examples(
        "streamgauge producers",
        "streamgauge producers --like 'gateway-%' -n 100",
        "streamgauge producers --json",
    )
)
def producers(
    like: Annotated[str, typer.Option(help="Only producers whose name is LIKE this.")] = "%",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many at most.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List producers, and which readings are missing of those that number them.

    Those with missing readings come first. What has arrived within the last seconds may not be
    counted yet. Exit codes: 0 ok, 3 the database cannot be reached.
    """
    rows = _rows(like, limit)
    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    from jobs.untrusted import printable

    table = Table(box=None, header_style="bold")
    for heading, justify in _COLUMNS:
        table.add_column(heading, justify=justify)
    for row in rows:
        more = "" if len(row["gaps"]) <= GAPS_SHOWN else f" and {len(row['gaps']) - GAPS_SHOWN} more"
        missing = f"{row['missing']}: {', '.join(row['gaps'][:GAPS_SHOWN])}{more}" if row["gaps"] else "none"
        numbers = ("–", "–", "–") if row["epoch"] is None else (row["epoch"], row["last_sequence"], missing)
        table.add_row(
            printable(row["tenant"]),
            printable(row["producer"]),
            f"{row['topic']}/{row['partition']}",
            str(numbers[0]),
            str(numbers[1]),
            f"{row['last_seen']:%Y-%m-%d %H:%M:%S}",
            str(numbers[2]),
        )
    console().print(table)


def _rows(like: str, limit: int) -> list[dict[str, Any]]:
    import psycopg
    from psycopg.rows import dict_row

    from streams.settings import Settings

    with psycopg.connect(Settings().reader_dsn, row_factory=dict_row, options="-c timezone=UTC") as session:
        return session.execute(_QUERY, {"like": like, "limit": limit}).fetchall()
