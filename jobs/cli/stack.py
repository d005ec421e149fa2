"""``streamgauge stack``: Kafka, TimescaleDB and Redis for this checkout."""

from __future__ import annotations

import json
import shlex
from typing import Annotated

import typer
from rich.console import Console

from infra.stack import lifecycle
from infra.stack.state import State
from streams.settings import state_dir

app = typer.Typer(help="Kafka, TimescaleDB and Redis for this checkout.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def up() -> None:
    """Start what does not run and wait until it serves."""
    lifecycle.up(Console(stderr=True))


@app.command()
def down() -> None:
    """Stop what runs; the data stays."""
    lifecycle.down(Console(stderr=True))


@app.command()
def env(as_json: AsJson = False) -> None:
    """Print the addresses as shell exports: eval "$(streamgauge stack env)"."""
    addresses = State(state_dir()).env
    if as_json:
        typer.echo(json.dumps(addresses, indent=2))
    else:
        for name, value in addresses.items():
            typer.echo(f"export STREAMGAUGE_{name.upper()}={shlex.quote(value)}")
