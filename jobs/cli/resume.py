"""``streamgauge resume``: says where a partition goes on, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from jobs.cli.output import JsonFlag, examples, print_json

if TYPE_CHECKING:
    from jobs.resume import Decision

app = typer.Typer()


@app.command(
    epilog=examples(
        'streamgauge resume telemetry.readings/3 --from earliest --why "retention passed us in the outage"',
        'streamgauge resume 3 --from 4711 --why "records before it are not wanted" --yes',
    )
)
def resume(
    partition: Annotated[str, typer.Argument(metavar="[TOPIC/]PARTITION", help="Which one.")],
    where: Annotated[
        str, typer.Option("--from", metavar="WHERE", help="earliest, latest, stored, or an offset.")
    ],
    why: Annotated[str, typer.Option(help="Why, for the record.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Let a halted partition go on from an offset of its log, on record in table resumptions.

    Shows first what would be left out and what would be read again. Workers go on within seconds,
    without a restart. A partition that is not halted can be set as well.

    Exit codes: 0 done, 1 it was not confirmed or there is no such partition, 2 the log does not
    hold that offset, 3 Kafka or the database is away.
    """
    from jobs.resume import Decision, Register, find_log, parse_partition, target
    from streams.errors import UsageError
    from streams.settings import Settings

    if not why.strip():
        raise UsageError("--why is empty", hint="Say it for those who look at it later.")
    settings = Settings()
    topic, number = parse_partition(partition, settings.readings_topic)
    register = Register(settings.owner_dsn)
    try:
        state = register.state(topic, number)
        log = find_log(settings.kafka, topic, number)
        decision = Decision(state, log, target(where, state, log))
        if not as_json:
            _show(f"{topic}/{number}", decision)
        if not yes:
            typer.confirm(f"Go on from offset {decision.to_offset}?", abort=True, err=True)
        record = register.resume(topic, number, decision, why)
    finally:
        register.close()
    if as_json:
        print_json({**decision.document(), "record": record})
    else:
        typer.echo(f"{topic}/{number} goes on from offset {decision.to_offset}: resumption {record['id']}")


def _show(name: str, decision: Decision) -> None:
    state, log, to = decision.state, decision.log, decision.to_offset
    typer.echo(f"{name} is halted: {state.reason}" if state.reason else f"{name} is not halted")
    typer.echo(f"  stored   up to offset {state.next_offset}")
    typer.echo(f"  the log  offsets {log.start} to {log.end}, topic id {log.topic_id or 'unknown'}")
    if decision.recreated:
        typer.echo(f"  another topic than the one that was stored, which had id {state.topic_id}")
    if decision.left_out:
        typer.echo(f"  left out: {decision.left_out} offsets before {to}; nobody will store them")
    if decision.read_again:
        typer.echo(f"  read again: {decision.read_again} offsets from {to} on; repeats are recognised")
