"""What ``streamgauge chaos`` does: seed after seed on one private stack."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from random import Random

import orjson
from rich.console import Console

from jobs.stopping import sigterm_interrupts
from streams.errors import UsageError
from streams.settings import state_dir
from tests.chaos.engine import Outcome, run_seed
from tests.chaos.faults import MATRIX
from tests.chaos.faults.fault import Fault
from tests.chaos.mutants import MUTANTS
from tests.chaos.report import write_tables
from tests.chaos.stack import PrivateStack

Together = tuple[Fault, ...]

MUTANT_SEEDS = 3


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for; see ``streamgauge chaos --help``."""

    seed: int
    seeds: int
    faults: tuple[str, ...]
    pairs: bool
    mutant: tuple[str, ...]
    mutants: bool
    long: bool
    json: Path | None
    write: Path | None


@dataclass(frozen=True, slots=True)
class Plan:
    """One run: a seed, faults that strike together, and a mutant or none."""

    seed: int
    faults: Together
    mutant: str = ""


def session(wish: Wish, console: Console) -> bool:
    """Do what is wished; return whether nothing was found, but in mutants, and in each of these."""
    planned = list(plans(wish))
    outcomes: list[Outcome] = []
    directory = state_dir() / "chaos"
    try:
        with sigterm_interrupts(), PrivateStack(directory / "stack", console) as stack:
            for plan in planned:
                where = (
                    directory
                    / "runs"
                    / f"{plan.seed}-{_name(plan.faults)}{plan.mutant and '-' + plan.mutant}"
                )
                outcome = run_plan(stack, plan, where, long=wish.long)
                outcomes.append(outcome)
                _tell(console, outcome, where)
                if wish.json is not None:
                    with wish.json.open("ab") as file:
                        file.write(orjson.dumps(outcome.document()) + b"\n")
    finally:
        if wish.write is not None:
            known = wish.json.read_bytes().splitlines() if wish.json and wish.json.exists() else []
            write_tables(wish.write, [Outcome(**orjson.loads(line)) for line in known] or outcomes)
    bad = [outcome for outcome in outcomes if not as_it_should_be(outcome)]
    readings = sum(outcome.readings for outcome in outcomes)
    console.print(f"{len(outcomes)} runs, {readings:,} readings checked, {len(bad)} not as they should be")
    return not bad


def run_plan(stack: PrivateStack, plan: Plan, where: Path, *, long: bool = False) -> Outcome:
    """Run a plan: its seed, and for a mutant others until it is caught, as some moments are too lucky."""
    for seed in range(plan.seed, plan.seed + (MUTANT_SEEDS if plan.mutant else 1)):
        outcome = run_seed(stack, seed, plan.faults, where, plan.mutant, long=long)
        if as_it_should_be(outcome):
            break
    return outcome


def mutant_plan(name: str, seed: int) -> Plan:
    """Return how a mutant is run. Raises :class:`~streams.errors.UsageError` for an unknown one."""
    if name not in MUTANTS:
        raise UsageError(f"there is no mutant {name}", hint=f"There are: {', '.join(MUTANTS)}.")
    return Plan(seed, _faults("+".join(MUTANTS[name].faults)), name)


def plans(wish: Wish) -> Iterator[Plan]:
    """Yield the runs that are wished for. Raises :class:`~streams.errors.UsageError` for unknown names."""
    drawn_from = [_faults(name) for name in wish.faults] or [(fault,) for fault in MATRIX.values()]
    pairs = [pair for pair in combinations(MATRIX.values(), 2) if pair[0].goes_with(pair[1])]
    chosen = wish.mutant or (tuple(MUTANTS) if wish.mutants else ())
    if not wish.mutant:
        for seed in range(wish.seed, wish.seed + wish.seeds):
            random = Random(f"{seed}/plan")
            yield Plan(seed, random.choice(pairs if wish.pairs and seed % 2 else drawn_from))
    for name in chosen:
        yield mutant_plan(name, wish.seed)


def as_it_should_be(outcome: Outcome) -> bool:
    """Tell whether nothing was found, or in a mutant that by which it must be caught."""
    if not outcome.mutant:
        return outcome.ok
    return MUTANTS[outcome.mutant].caught_by in outcome.found


def _faults(names: str) -> Together:
    for name in names.split("+"):
        if name not in MATRIX:
            raise UsageError(f"there is no fault {name}", hint=f"There are: {', '.join(MATRIX)}.")
    return tuple(MATRIX[name] for name in names.split("+"))


def _name(faults: Together) -> str:
    return "+".join(fault.name for fault in faults)


def _tell(console: Console, outcome: Outcome, where: Path) -> None:
    recovered = "" if outcome.recovered_s is None else f", recovered in {outcome.recovered_s:.1f} s"
    found = ", ".join(f"{count} {name}" for name, count in outcome.found.items()) or "nothing found"
    style = "green" if as_it_should_be(outcome) else "red"
    mutant = outcome.mutant and f" mutant {outcome.mutant}"
    console.print(
        f"seed {outcome.seed} {'+'.join(outcome.faults)}{mutant}: {outcome.readings:,} readings{recovered}, "
        f"{outcome.seconds:.0f} s: [{style}]{found}[/]",
        highlight=False,
    )
    for name, why in outcome.not_struck.items():
        console.print(f"  {name} did not happen: {why}", highlight=False)
    if outcome.slow:
        console.print(f"  it took long; look at {where}", highlight=False)
    if not as_it_should_be(outcome):
        for remark in outcome.remarks:
            console.print(f"  {remark}", highlight=False, markup=False)
        console.print(f"  repeat it: {outcome.command}\n  ledgers and logs: {where}", highlight=False)
