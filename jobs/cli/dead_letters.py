"""``streamgauge dead-letters``: what was refused, and what becomes of it."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.output import JsonFlag, console, examples, print_json

if TYPE_CHECKING:
    from jobs.dead_letters import Choice, Counts, DeadLetter

app = typer.Typer(no_args_is_help=True)


class State(StrEnum):
    """What became of a dead letter."""

    OPEN = "open"
    REPLAYED = "replayed"
    DISCARDED = "discarded"


_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def since(text: str) -> datetime:
    """Return the time that a user means by ``2h`` (ago; s, m, h or d) or by a date.

    >>> since("2026-01-31T12:00:00Z").isoformat()
    '2026-01-31T12:00:00+00:00'
    """
    if ago := re.fullmatch(r"(\d{1,5})([smhd])", text):
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither like 30m, 2h, 7d nor a date") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


Reason = Annotated[str | None, typer.Option(help="Only those refused for this reason.")]
Topic = Annotated[str | None, typer.Option(help="Only those from this topic.")]
Partition = Annotated[int | None, typer.Option(min=0, help="Only those from this partition.")]
Since = Annotated[
    datetime | None,
    typer.Option(parser=since, metavar="TIME", help="Only those stored since: 30m, 2h, 7d, or a date."),
]
Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="As listed.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
By = Annotated[str | None, typer.Option(help="Who does it; default: this user at this host.")]


@app.command(
    "list",
    epilog=examples(
        "streamgauge dead-letters list --reason not_finite --since 2h",
        "streamgauge dead-letters list --state open -n 100 --json",
    ),
)
def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at most.")] = 20,
    reason: Reason = None,
    topic: Topic = None,
    partition: Partition = None,
    since: Since = None,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the newest dead letters, newest first. Exit codes: 0 ok, 3 the database cannot be reached."""
    from rich.markup import escape
    from rich.table import Table

    from jobs.dead_letters import Choice, list_letters
    from jobs.untrusted import printable
    from streams.settings import Settings

    choice = Choice(reason=reason, topic=topic, partition=partition, since=since, state=state)
    letters = list_letters(Settings().reader_dsn, choice, limit)
    if as_json:
        print_json(letters)
        return
    if not letters:
        typer.echo("there are no dead letters")
        return
    table = Table(
        "id", "at (UTC)", "record", "index", "reason", "state", "detail", box=None, header_style="bold"
    )
    for letter in letters:
        record = f"{letter['topic']}/{letter['partition']}@{letter['offset']}"
        index = "" if letter["index"] < 0 else str(letter["index"])
        at = f"{letter['at'].astimezone(UTC):%F %T}"
        cells = (str(letter["id"]), at, record, index, letter["reason"], letter["state"])
        table.add_row(*map(escape, (*cells, printable(letter["detail"]))))
    console().print(table)


@app.command(epilog=examples("streamgauge dead-letters show 17", "streamgauge dead-letters show 17 --json"))
def show(
    number: Annotated[int, typer.Argument(metavar="ID", help="As listed.")], as_json: JsonFlag = False
) -> None:
    """Show one dead letter with its payload: its fields where it can be read, else byte by byte.

    Exit codes: 0 ok, 1 there is no such dead letter, 3 the database cannot be reached.
    """
    from jobs.untrusted import payload_lines, printable

    letter = _letter(number)
    described = {
        name: getattr(letter, name)
        for name in type(letter).__dataclass_fields__
        if name not in ("key", "payload")
    }
    if as_json:
        key = None if letter.key is None else base64.b64encode(letter.key).decode()
        payload = base64.b64encode(letter.payload).decode()
        print_json({**described, "key_base64": key, "payload_base64": payload})
        return
    described["key"] = None if letter.key is None else letter.key.decode("utf-8", "backslashreplace")
    for name, value in described.items():
        typer.echo(f"{name:<14}{'' if value is None else printable(str(value))}")
    typer.echo()
    for line in payload_lines(letter.payload):
        typer.echo(line)


@app.command(
    epilog=examples(
        "streamgauge dead-letters replay 17 18",
        "streamgauge dead-letters replay --reason series_limit --since 1d",
        "streamgauge dead-letters replay 21 --revision 1",
    )
)
def replay(
    ids: Ids = None,
    reason: Reason = None,
    topic: Topic = None,
    partition: Partition = None,
    since: Since = None,
    again: Annotated[
        bool, typer.Option("--again", help="Those as well that were replayed or discarded.")
    ] = False,
    revision: Annotated[
        int | None,
        typer.Option(min=1, help="Only conflicts: send them as corrections with this revision."),
    ] = None,
    by: By = None,
    yes: Yes = False,
    as_json: JsonFlag = False,
) -> None:
    """Send dead letters again, each to the partition it came from, once what was wrong is put right.

    What is refused again becomes a new dead letter. A reading that is stored already is a duplicate:
    replaying never stores anything twice. A letter whose payload was cut cannot be sent.

    Exit codes: 0 ok, 1 a letter cannot be sent, or the answer was no, 3 the database cannot be reached.
    """
    from jobs import dead_letters
    from streams.settings import Settings

    if revision is not None:
        if reason not in (None, "conflict"):
            raise typer.BadParameter("--revision is for --reason conflict alone")
        reason = "conflict"
    choice = _chosen(ids, reason, topic, partition, since, None if again else State.OPEN)
    for number in ids or ():
        _require_replayable(_letter(number), again, revision)
    dsn = Settings().writer_dsn
    counts = dead_letters.count_letters(dsn, choice)
    if counts.whole and not ids:
        _confirm(f"Replay {_letters(counts.whole)}{_cut(counts)}?", yes)
    sent = dead_letters.replay(dsn, choice, counts.last_id, by or me(), revision)
    if as_json:
        print_json({"replayed": sent, "cut": counts.cut})
    else:
        typer.echo(f"replayed {_letters(sent)}{_cut(counts)}")


@app.command(
    epilog=examples(
        'streamgauge dead-letters discard 17 --why "test device"',
        'streamgauge dead-letters discard --reason future --since 1d --why "clock was set"',
    )
)
def discard(
    why: Annotated[str, typer.Option(help="Why nothing is to be done about them; it is kept.")],
    ids: Ids = None,
    reason: Reason = None,
    topic: Topic = None,
    partition: Partition = None,
    since: Since = None,
    by: By = None,
    yes: Yes = False,
    as_json: JsonFlag = False,
) -> None:
    """Settle open dead letters without sending them. Nothing is deleted; who, when and why is kept.

    Exit codes: 0 ok, 1 there is no such letter, or the answer was no, 3 the database cannot be reached.
    """
    from jobs import dead_letters
    from streams.settings import Settings

    choice = _chosen(ids, reason, topic, partition, since, State.OPEN)
    for number in ids or ():
        _letter(number)
    dsn = Settings().writer_dsn
    counts = dead_letters.count_letters(dsn, choice)
    if counts.whole + counts.cut and not ids:
        _confirm(f"Discard {_letters(counts.whole + counts.cut)}?", yes)
    settled = dead_letters.discard(dsn, choice, counts.last_id, by or me(), why)
    if as_json:
        print_json({"discarded": settled})
    else:
        typer.echo(f"discarded {_letters(settled)}")


def _chosen(
    ids: list[int] | None,
    reason: str | None,
    topic: str | None,
    partition: int | None,
    since: datetime | None,
    state: State | None,
) -> Choice:
    """Return what is chosen; nothing at all is not everything."""
    from jobs.dead_letters import Choice

    if not ids and (reason, topic, partition, since) == (None, None, None, None):
        raise typer.BadParameter("say which: ids, --reason, --topic, --partition or --since")
    return Choice(ids=ids or None, reason=reason, topic=topic, partition=partition, since=since, state=state)


def _letter(number: int) -> DeadLetter:
    from jobs.dead_letters import find_letter
    from streams.errors import UserError
    from streams.settings import Settings

    letter = find_letter(Settings().writer_dsn, number)
    if letter is None:
        raise UserError(f"there is no dead letter {number}", hint="See `streamgauge dead-letters list`.")
    return letter


def _require_replayable(letter: DeadLetter, again: bool, revision: int | None) -> None:
    """Raise UserError with what keeps a letter from being sent again."""
    from streams.core.rejection import Reason
    from streams.errors import UserError

    if letter.state != State.OPEN and not again:
        raise UserError(
            f"dead letter {letter.id} was {letter.state} by {letter.state_by} at {letter.state_at:%F %T %Z}",
            hint="Use --again to send it all the same.",
        )
    if letter.cut:
        raise UserError(
            f"dead letter {letter.id} cannot be replayed:"
            f" {len(letter.payload):,} of its {letter.payload_bytes:,} bytes are kept",
            hint=f"Its record is in {letter.topic}, partition {letter.partition}, offset {letter.offset},"
            " for as long as Kafka keeps it.",
        )
    if not letter.payload:
        raise UserError(f"dead letter {letter.id} has no payload to replay", hint="Discard it.")
    if revision is not None and letter.reason != Reason.CONFLICT:
        raise UserError(
            f"dead letter {letter.id} is no conflict but {letter.reason}",
            hint="Only a reading that conflicts with a stored one can become its correction.",
        )


def _confirm(question: str, yes: bool) -> None:
    if not yes:
        typer.confirm(question, abort=True, err=True)


def _letters(count: int) -> str:
    return f"{count:,} dead letter" + ("" if count == 1 else "s")


def _cut(counts: Counts) -> str:
    return f" ({counts.cut:,} more are cut or empty, and stay as they are)" if counts.cut else ""


def me() -> str:
    """Return who calls: this user at this host."""
    import getpass
    import socket

    return f"{getpass.getuser()}@{socket.gethostname()}"
