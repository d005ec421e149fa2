"""The checker can fail: it catches every mutant, under the fault that shows it and by its name.

That the same run without the mutant finds nothing is what test_matrix.py tests.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.engine import run_seed
from tests.chaos.faults import MATRIX
from tests.chaos.mutants import MUTANTS
from tests.chaos.stack import PrivateStack

SEED = 1


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(private_stack: PrivateStack, name: str, tmp_path: Path) -> None:
    mutant = MUTANTS[name]
    outcome = run_seed(
        private_stack, SEED, [MATRIX[fault] for fault in mutant.faults], tmp_path / "run", name
    )
    assert outcome.not_struck == {}
    assert mutant.caught_by in outcome.found, (outcome.found, outcome.remarks)
