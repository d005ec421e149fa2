"""``streamgauge config``: what the settings are and where they came from."""

from __future__ import annotations

from dataclasses import asdict

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json

app = typer.Typer(no_args_is_help=True)


@app.command(epilog=examples("streamgauge config show", "streamgauge config show --json"))
def show(as_json: JsonFlag = False) -> None:
    """Print every setting and where it came from; secrets are masked.

    Exit codes: 0 ok, 2 a setting is invalid.
    """
    from rich.table import Table

    from jobs.configuration import describe, unknown_variables
    from streams.settings import Settings

    settings = describe(Settings())
    if as_json:
        print_json([asdict(setting) for setting in settings])
    else:
        table = Table("setting", "value", "from", box=None, header_style="bold")
        for setting in settings:
            style = "dim" if setting.origin == "default" else None
            table.add_row(setting.name, setting.value, setting.origin, style=style)
        console().print(table)
    for variable in unknown_variables():
        typer.secho(f"{variable} is not a setting; is it misspelt?", fg="yellow", err=True)


@app.command(epilog=examples("streamgauge config document > docs/configuration.md"))
def document() -> None:
    """Print the reference of all settings as Markdown."""
    from jobs.configuration import document as page

    typer.echo(page(), nl=False)
