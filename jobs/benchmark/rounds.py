"""How everything is measured: contestants take turns in rounds, so that all meet the same machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.benchmark.figures import Figure, medians, ratio

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one contestant: what it handled between two moments, and what that cost.

    ``cpu_s`` is by process, ``stages_s`` and ``stages_cpu_s`` by stage of the worker. They were spent
    on ``costed`` readings, where that is more than were handled between the two moments. ``more``
    is whatever else there is to say of a run, in figures.
    """

    readings: int
    seconds: float
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    stages_s: Mapping[str, float] = field(default_factory=dict)
    stages_cpu_s: Mapping[str, float] = field(default_factory=dict)
    more: Mapping[str, float] = field(default_factory=dict)
    costed: int = 0

    @property
    def rate(self) -> float:
        """Readings a second."""
        return self.readings / self.seconds

    def per_million(self, amounts: Mapping[str, float]) -> dict[str, float]:
        """Divide what was spent by the millions of readings that it was spent on."""
        millions = (self.costed or self.readings) / MILLION
        return {name: amount / millions for name, amount in amounts.items()}


@dataclass(frozen=True, slots=True)
class Contestant:
    """Something to be measured again and again. ``shares`` names the contestants it is held against.

    Its result has a field for each of them: ``{"share_of_raw_copy": "raw_copy"}``.
    """

    name: str
    run: Callable[[], Run]
    shares: Mapping[str, str] = field(default_factory=dict)


Say = Callable[[str], None]


def compete(contestants: Sequence[Contestant], rounds: int, say: Say) -> dict[str, list[Run]]:
    """Run every contestant once a round; a round begins with another one than the last did.

    >>> turns = []
    >>> def fast() -> Run:
    ...     return Run(readings=10, seconds=1.0)
    >>> runs = compete([Contestant("a", fast), Contestant("b", fast)], 2, turns.append)
    >>> turns, len(runs["a"])
    (['round 1 of 2: a', 'round 1 of 2: b', 'round 2 of 2: b', 'round 2 of 2: a'], 2)
    """
    runs: dict[str, list[Run]] = {contestant.name: [] for contestant in contestants}
    for number in range(rounds):
        shift = number % len(contestants)
        for contestant in [*contestants[shift:], *contestants[:shift]]:
            say(f"round {number + 1} of {rounds}: {contestant.name}")
            runs[contestant.name].append(contestant.run())
    return runs


def results(contestants: Sequence[Contestant], runs: Mapping[str, Sequence[Run]]) -> list[dict[str, Any]]:
    """Sum up the rounds of each contestant, in the form that a report has."""
    rates = {name: [run.rate for run in some] for name, some in runs.items()}
    summed = []
    for contestant in contestants:
        own = summed_up(contestant.name, runs[contestant.name])
        for share, other in contestant.shares.items():
            own[share] = round(ratio(rates[contestant.name], rates[other]).median, 3)
        summed.append(own)
    return summed


def summed_up(name: str, runs: Sequence[Run]) -> dict[str, Any]:
    """Return the medians of some runs: rate, CPU seconds a million readings, microseconds a reading."""
    rate = Figure.of(run.rate for run in runs)
    per_million = medians([run.per_million(run.cpu_s) for run in runs])
    elapsed_us = medians([run.per_million(run.stages_s) for run in runs])
    cpu_us = medians([run.per_million(run.stages_cpu_s) for run in runs])
    summary: dict[str, Any] = {
        "name": name,
        "readings_per_s": round(rate.median),
        "lowest": round(rate.lowest),
        "highest": round(rate.highest),
        "spread": round(rate.spread, 3),
        "rounds": [round(run.rate) for run in runs],
    }
    if per_million:
        summary["cpu_s_per_million"] = _rounded(per_million)
        used = sum(per_million.values())
        summary["cpu_share"] = _rounded({each: part / used for each, part in per_million.items() if used})
    if cpu_us:
        summary["stages_us_per_reading"] = {
            "elapsed": _rounded(elapsed_us),
            "cpu": _rounded(cpu_us),
        }
    return summary | _rounded(medians([run.more for run in runs]))


def _rounded(amounts: Mapping[str, float]) -> dict[str, float]:
    return {name: round(amount, 4) for name, amount in amounts.items()}
