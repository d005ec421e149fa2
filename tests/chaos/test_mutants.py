"""The checker can fail: it catches every mutant, under the fault that shows it and by its name.

That the same run without the mutant finds nothing is what test_matrix.py tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.mutants import MUTANTS
from tests.chaos.session import mutant_plan, run_plan
from tests.chaos.stack import PrivateStack

pytestmark = pytest.mark.chaos
SEED = 1


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(private_stack: PrivateStack, name: str, tmp_path: Path) -> None:
    outcome = run_plan(private_stack, mutant_plan(name, SEED), tmp_path / "run")
    assert outcome.not_struck == {}
    assert MUTANTS[name].caught_by in outcome.found, (outcome.found, outcome.remarks)
