"""What all verbs share: how they show examples, and how they print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def examples(*commands: str) -> str:
    r"""Return a help epilog that shows ``commands``, one a line.

    >>> examples("streamgauge topics list")
    'Example:\n\n[cyan]$ streamgauge topics list[/cyan]'
    """
    title = "Example:" if len(commands) == 1 else "Examples:"
    return "\n\n".join([title, *(f"[cyan]$ {command}[/cyan]" for command in commands)])


def print_json(value: Any) -> None:
    """Print ``value`` as one line of JSON on standard output, at once."""
    import orjson

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")
    sys.stdout.flush()


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or on standard error for what is not a result."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)
