"""What rivals need is known, and one that cannot be installed says why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jobs.benchmark.rivals import PROGRAMS, RIVALS, Rival, environment_of
from streams.errors import UserError


def test_every_rival_has_its_program_and_every_program_is_a_rival() -> None:
    programs = {file.name for file in PROGRAMS.glob("*.py")} - {"table.py"}

    assert {rival.program for rival in RIVALS} == programs


def test_versions_are_pinned() -> None:
    assert all("==" in package for rival in RIVALS for package in rival.packages)


def test_one_that_needs_nothing_runs_here() -> None:
    assert environment_of(RIVALS[0], print) == Path(sys.executable)


def test_one_that_cannot_be_installed_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    occupied = tmp_path / "state"
    occupied.write_text("a file, where environments would have to be")
    monkeypatch.setenv("STREAMGAUGE_STATE_DIR", str(occupied))

    with pytest.raises(UserError, match="cannot be installed"):
        environment_of(Rival("missing", "plain.py", ("no-such-package==1",)), lambda _: None)
