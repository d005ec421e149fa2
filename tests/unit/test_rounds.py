"""Contestants take turns, and what they did is summed up per reading."""

from __future__ import annotations

from collections.abc import Callable

from jobs.benchmark.rounds import Contestant, Run, compete, results


def _constant(run: Run) -> Callable[[], Run]:
    return lambda: run


def test_every_contestant_runs_once_a_round_and_begins_in_turn() -> None:
    turns: list[str] = []
    contestants = [Contestant(name, _constant(Run(1, 1.0))) for name in "abc"]

    compete(contestants, 3, lambda words: turns.append(words[-1]))

    assert "".join(turns) == "abc" + "bca" + "cab"


def test_rates_are_held_against_those_of_the_same_round() -> None:
    fast, slow = iter([Run(100, 1.0), Run(100, 2.0)]), iter([Run(80, 1.0), Run(40, 1.0)])
    contestants = [
        Contestant("raw_copy", fast.__next__),
        Contestant("batched", slow.__next__, {"share_of_raw_copy": "raw_copy"}),
    ]

    raw_copy, batched = results(contestants, compete(contestants, 2, lambda _: None))

    assert "share_of_raw_copy" not in raw_copy
    assert batched["share_of_raw_copy"] == 0.8
    assert (batched["readings_per_s"], batched["lowest"], batched["highest"]) == (60, 40, 80)


def test_costs_are_told_per_reading_that_they_were_spent_on() -> None:
    run = Run(
        readings=1_000_000,
        seconds=2.0,
        cpu_s={"worker": 1.0, "postgres": 3.0},
        stages_s={"copy": 2.0},
        stages_cpu_s={"copy": 0.5},
        more={"first_row_s": 1.25},
        costed=2_000_000,
    )

    (result,) = results([Contestant("batched", _constant(run))], {"batched": [run, run]})

    assert result["readings_per_s"] == 500_000
    assert result["cpu_s_per_million"] == {"worker": 0.5, "postgres": 1.5}
    assert result["cpu_share"] == {"worker": 0.25, "postgres": 0.75}
    assert result["stages_us_per_reading"] == {"elapsed": {"copy": 1.0}, "cpu": {"copy": 0.25}}
    assert result["first_row_s"] == 1.25
