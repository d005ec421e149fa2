"""Why a partition is halted, in words that say what happened and which command resolves it."""

from __future__ import annotations

from dataclasses import dataclass

from faust.types import TP

from sinks.protocols import HaltKind


@dataclass(slots=True)
class Halt:
    """One partition that nobody may read.

    ``epoch`` is that under which it is to be noted in the sink; None once that is done.
    """

    kind: HaltKind | None
    reason: str
    epoch: int | None


def deleted(tp: TP, epoch: int, next_offset: int, log_start: int) -> Halt:
    """Return the halt of a partition whose log begins behind what is to be read next."""
    what = f"offsets {next_offset} to {log_start - 1} were deleted from the log before they were stored"
    return _halt(tp, epoch, HaltKind.DELETED, what)


def truncated(tp: TP, epoch: int, next_offset: int, log_end: int | None = None) -> Halt:
    """Return the halt of a partition whose log ended before what is to be read next."""
    ends = "ended before that" if log_end is None else f"ends at {log_end}"
    what = f"everything up to offset {next_offset} was read, but the log {ends}: it was truncated"
    return _halt(tp, epoch, HaltKind.TRUNCATED, what)


def recreated(tp: TP, epoch: int, next_offset: int, was: str, now: str) -> Halt:
    """Return the halt of a partition of a topic that is not the one which was stored."""
    what = (
        f"the topic was recreated: offset {next_offset} is one of the topic with id {was}, "
        f"and {tp.topic} has id {now} now"
    )
    return _halt(tp, epoch, HaltKind.RECREATED, what)


def poisoned(tp: TP, epoch: int, next_offset: int, in_a_row: int) -> Halt:
    """Return the halt of a partition that looks as if every record of it killed workers."""
    what = (
        f"{in_a_row} records in a row killed workers, and so does the one at offset {next_offset}: "
        "more likely the worker is at fault than all of them"
    )
    return _halt(tp, epoch, HaltKind.POISON, what, source="stored")


def _halt(tp: TP, epoch: int, kind: HaltKind, what: str, source: str = "earliest") -> Halt:
    command = f'streamgauge resume {tp.topic}/{tp.partition} --from {source} --why "..."'
    return Halt(kind, f"{what}. When you have decided: {command}", epoch)
