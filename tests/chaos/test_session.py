"""What is run for which options, and what is written of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.cli.main import app
from streams.errors import UsageError, UserError
from tests.chaos.engine import Outcome
from tests.chaos.faults import MATRIX
from tests.chaos.report import BEGIN, END, write_tables
from tests.chaos.session import Plan, Wish, as_it_should_be, plans


def wish(**given: Any) -> Wish:
    defaults: dict[str, Any] = {
        "seed": 1,
        "seeds": 20,
        "faults": (),
        "pairs": False,
        "mutant": (),
        "mutants": False,
        "long": False,
        "json": None,
        "write": None,
    }
    return Wish(**{**defaults, **given})


def test_a_seed_decides_on_its_faults_whatever_runs_before_it() -> None:
    (repeated,) = plans(wish(seed=7, seeds=1, pairs=True))
    assert list(plans(wish(pairs=True)))[6] == repeated


def test_pairs_are_drawn_in_every_second_seed_and_share_nothing() -> None:
    drawn = [plan.faults for plan in plans(wish(seeds=60, pairs=True))]
    assert {len(faults) for faults in drawn[::2]} == {2}
    assert {len(faults) for faults in drawn[1::2]} == {1}
    assert all(one.goes_with(other) for one, other in drawn[::2])


def test_a_wish_for_faults_and_mutants_is_met() -> None:
    assert list(plans(wish(seeds=1, faults=("poison+redis-lost",)))) == [
        Plan(1, (MATRIX["poison"], MATRIX["redis-lost"]))
    ]
    assert list(plans(wish(mutant=("memory-only",)))) == [Plan(1, (MATRIX["repeats"],), "memory-only")]


@pytest.mark.parametrize("given", [{"faults": ("earthquake",)}, {"mutant": ("godzilla",)}])
def test_a_name_that_does_not_exist_is_refused_with_those_that_do(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="there is no") as refusal:
        list(plans(wish(**given)))
    assert "memory-only" in refusal.value.hint or "worker-paused" in refusal.value.hint


def test_a_mutant_should_be_caught_by_its_check_and_nothing_else_should_be_found() -> None:
    assert as_it_should_be(Outcome(1, ["poison"]))
    assert not as_it_should_be(Outcome(1, ["poison"], found={"lost": 1}))
    assert as_it_should_be(Outcome(1, ["repeats"], "memory-only", found={"doubled": 7, "untrue": 1}))
    assert not as_it_should_be(Outcome(1, ["repeats"], "memory-only", found={"untrue": 1}))


def test_the_tables_are_written_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    outcomes = [
        Outcome(1, ["poison"], readings=1_000, records=20, recovered_s=2.0),
        Outcome(2, ["poison"], readings=1_000, records=20, recovered_s=4.0),
        Outcome(3, ["poison", "redis-lost"], readings=500, records=10, recovered_s=60.0),
        Outcome(4, ["disk-full"], not_struck={"disk-full": "not root"}, readings=1),
        Outcome(1, ["repeats"], "memory-only", found={"doubled": 2_000}),
    ]
    write_tables(page, outcomes)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n\n4 seeds, 4 faults, 2,501 readings")
    assert text.endswith(f"{END}\nafter\n")
    assert f"| `poison` | {MATRIX['poison'].meaning} | 3 | 2,500 | 0 | 0 | 0 | 3.0 s | 4.0 s |" in text
    assert "| doubled 2,000 |" in text
    assert "old" not in text
    assert "disk-full" not in text


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("mine")
    with pytest.raises(UserError, match="no part to replace"):
        write_tables(page, [])
    assert page.read_text() == "mine"


def test_without_a_checkout_the_verb_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tests.chaos.session", None)
    shown = CliRunner().invoke(app, ["chaos"])
    assert isinstance(shown.exception, UserError)
    assert "make chaos" in shown.exception.hint
