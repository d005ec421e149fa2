"""What all verbs share: how they show examples, and how they print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

KEEP_LINES = "\b"
"""Typer's mark before a paragraph whose lines are not to be joined."""

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, change nothing.")]


def examples(*commands: str) -> str:
    """Return a help epilog that shows ``commands``, one a line.

    >>> print(examples("streamgauge topics list").replace(KEEP_LINES, "(as it is)"))
    (as it is)
    Example:
      $ streamgauge topics list
    """
    title = "Example:" if len(commands) == 1 else "Examples:"
    return "\n".join([KEEP_LINES, title, *(f"  $ {command}" for command in commands)])


def print_json(value: Any) -> None:
    """Print ``value`` as one line of JSON on standard output, at once."""
    import orjson

    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode() + "\n")
    sys.stdout.flush()


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or on standard error for what is not a result."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)
