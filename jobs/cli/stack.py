"""``streamgauge stack``: Kafka, TimescaleDB and Redis for this checkout."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json

if TYPE_CHECKING:
    from infra.stack import Stack

app = typer.Typer(help="Kafka, TimescaleDB and Redis for this checkout.", no_args_is_help=True)

STYLES = {"serving": "green", "failing": "red", "stopped": "dim"}


def _stack() -> Stack:
    from infra.stack import Stack

    return Stack(console(stderr=True))


@app.command(epilog=examples("streamgauge stack up", "STREAMGAUGE_STACK=native streamgauge stack up"))
def up() -> None:
    """Start what does not run and wait until it serves; the first time it downloads what is missing.

    STREAMGAUGE_STACK says how: native, docker, or auto (in containers where an engine answers).
    Services that STREAMGAUGE_KAFKA, STREAMGAUGE_DATABASE_URL or STREAMGAUGE_REDIS_URL name are
    checked and left alone. Exit codes: 0 everything serves, 1 something does not.
    """
    _stack().up()


@app.command(epilog=examples("streamgauge stack down"))
def down() -> None:
    """Stop what runs; the data stays. Exit codes: 0 stopped, 1 something does not end."""
    _stack().down()


@app.command(epilog=examples("streamgauge stack status", "streamgauge stack status --json"))
def status(as_json: JsonFlag = False) -> None:
    """Show whether each service serves. Exit codes: 0 all do, 1 one does not."""
    from rich.table import Table

    found = _stack().status()
    if as_json:
        print_json([asdict(service) for service in found])
    else:
        columns = ("service", "runs as", "state", "address", "pid", "detail")
        table = Table(*columns, box=None, header_style="bold")
        for one in found:
            state = f"[{STYLES[one.state]}]{one.state}[/]"
            table.add_row(one.service, one.how, state, one.address, str(one.pid or ""), one.detail)
        console().print(table)
    if any(service.state != "serving" for service in found):
        raise typer.Exit(1)


@app.command(epilog=examples("streamgauge stack logs", "streamgauge stack logs kafka -n 200 --follow"))
def logs(
    service: Annotated[str | None, typer.Argument(help="kafka, timescaledb or redis; default: all.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many lines of each.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
) -> None:
    """Print the end of the services' logs."""
    _stack().logs(service, lines, follow=follow)


@app.command(epilog=examples('eval "$(streamgauge stack env)"', "streamgauge stack env --json"))
def env(as_json: JsonFlag = False) -> None:
    """Print the addresses, passwords included, as exports for a shell."""
    addresses = _stack().addresses()
    if as_json:
        print_json(addresses)
        return
    for name, value in addresses.items():
        typer.echo(f"export STREAMGAUGE_{name.upper()}={shlex.quote(value)}")


@app.command(
    epilog=examples(
        "streamgauge stack compose --profile workers up --detach --scale worker=2",
        "streamgauge stack compose --profile metrics up --detach",
    ),
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def compose(context: typer.Context) -> None:
    """Run a docker compose command on this checkout's containers, with its ports and passwords.

    Exit codes: those of docker compose; 1 if the stack does not run in containers.
    """
    raise typer.Exit(_stack().compose(context.args))


@app.command(epilog=examples("streamgauge stack destroy", "streamgauge stack destroy --yes"))
def destroy(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Stop what runs and remove its data, logs and passwords, after asking.

    Downloads stay in the cache. Exit codes: 0 removed, 1 it was not wanted.
    """
    if not yes:
        typer.confirm("Remove all data of this checkout's Kafka, TimescaleDB and Redis?", abort=True)
    _stack().destroy()
