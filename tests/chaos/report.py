"""The tables of ``docs/guarantees.md``, written by the run itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from streams.errors import UserError
from tests.chaos.engine import Outcome
from tests.chaos.faults import MATRIX
from tests.chaos.mutants import MUTANTS

BEGIN, END = "<!-- written by streamgauge chaos -->", "<!-- until here -->"
LOST = ("missing", "lost")
DOUBLED = ("doubled",)


def write_tables(page: Path, outcomes: Sequence[Outcome]) -> None:
    """Replace the marked part of ``page``. Raises :class:`~streams.errors.UserError` if it has none."""
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"{page} has no part to replace", hint=f"Add the lines {BEGIN} and {END} to it.")
    page.write_text(f"{before}{BEGIN}\n\n{tables(outcomes)}\n{END}{after}")


def tables(outcomes: Sequence[Outcome]) -> str:
    """Return what the seeds and the mutants came to, as Markdown."""
    seeds = [outcome for outcome in outcomes if not outcome.mutant]
    parts = [_summary(seeds), _matrix(seeds)]
    mutants = [outcome for outcome in outcomes if outcome.mutant]
    if mutants:
        parts.append(_mutants(mutants))
    return "\n".join(parts)


def _summary(seeds: Sequence[Outcome]) -> str:
    struck = sum(len(_struck(outcome)) for outcome in seeds)
    return (
        f"{len(seeds)} seeds, {struck} faults, {sum(outcome.readings for outcome in seeds):,} readings sent "
        f"in {sum(outcome.records for outcome in seeds):,} records and all checked; "
        f"{sum(not outcome.ok for outcome in seeds)} seeds in which anything was found.\n"
    )


def _matrix(seeds: Sequence[Outcome]) -> str:
    lines = [
        "| fault | what happens | runs | readings | lost | doubled | else wrong | recovery p50 | at most |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, fault in MATRIX.items():
        with_it = [outcome for outcome in seeds if name in _struck(outcome)]
        if not with_it:
            continue
        # What another fault cost at the same time is not this one's.
        alone = [
            outcome.recovered_s
            for outcome in with_it
            if len(outcome.faults) == 1 and outcome.recovered_s is not None
        ]
        lost, doubled = _count(with_it, LOST), _count(with_it, DOUBLED)
        wrong = sum(sum(outcome.found.values()) for outcome in with_it) - lost - doubled
        readings = sum(outcome.readings for outcome in with_it)
        times = f"{median(alone):.1f} s | {max(alone):.1f} s" if alone else " | "
        runs = f"{len(with_it)} | {readings:,} | {lost} | {doubled} | {wrong}"
        lines.append(f"| `{name}` | {fault.meaning} | {runs} | {times} |")
    return "\n".join(lines) + "\n"


def _mutants(mutants: Sequence[Outcome]) -> str:
    lines = ["| mutant | what is broken | under | caught by |", "|---|---|---|---|"]
    for name, mutant in MUTANTS.items():
        for outcome in [outcome for outcome in mutants if outcome.mutant == name][-1:]:
            caught = ", ".join(f"{kind} {count:,}" for kind, count in outcome.found.items())
            under = "+".join(f"`{fault}`" for fault in outcome.faults)
            lines.append(f"| `{name}` | {mutant.meaning} | {under} | {caught or 'nothing'} |")
    return "\n".join(lines) + "\n"


def _struck(outcome: Outcome) -> list[str]:
    return [name for name in outcome.faults if name not in outcome.not_struck]


def _count(outcomes: Sequence[Outcome], kinds: tuple[str, ...]) -> int:
    return sum(max((outcome.found.get(kind, 0) for kind in kinds), default=0) for outcome in outcomes)
