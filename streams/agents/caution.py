"""How a partition is worked on whose former owners ended badly, so that a record which kills is found."""

from __future__ import annotations

from dataclasses import dataclass

from sinks.protocols import Progress

RECORD_BY_RECORD_FROM = 2
"""Strikes: one is what a power cut does, and chunk by chunk costs little."""


@dataclass(slots=True)
class Caution:
    """One chunk is worked on at a time, and stored before the next, until that proves needless.

    It ends at offset ``until`` or after ``rows`` more readings and refusals: nobody had more in
    hands. With ``alone`` the first chunk is worked on record by record. ``poison`` is the offset of
    a record that killed its workers.
    """

    until: int
    rows: int
    alone: bool
    poison: int | None


@dataclass(frozen=True, slots=True)
class CautionPolicy:
    """A record is poison after ``poison_after`` attempts alone; caution lasts for ``rows`` at most."""

    poison_after: int
    rows: int


def caution_about(progress: Progress, log_end: int, policy: CautionPolicy) -> Caution | None:
    """Return how to go on after a claim; None where nothing speaks against what comes next."""
    strikes = progress.suspicion.strikes
    pending = _is_pending(progress)
    if not strikes and not pending:
        return None
    return Caution(
        until=log_end,
        rows=policy.rows,
        alone=pending or strikes >= RECORD_BY_RECORD_FROM,
        poison=poison_of(progress, policy),
    )


def poison_of(progress: Progress, policy: CautionPolicy) -> int | None:
    """Return the offset of a record that killed so many workers that it is poison; None without."""
    due = _is_pending(progress) and progress.suspicion.attempts >= policy.poison_after
    return progress.suspicion.attempting if due else None


def _is_pending(progress: Progress) -> bool:
    _, offset, attempts, _ = progress.suspicion
    return offset is not None and offset >= progress.next_offset and attempts > 0
