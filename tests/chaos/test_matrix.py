"""Every fault of the matrix once: each reading is stored once, whatever breaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.engine import run_seed
from tests.chaos.faults import MATRIX
from tests.chaos.faults.full import obstacle
from tests.chaos.stack import PrivateStack

pytestmark = pytest.mark.chaos
SEED = 1
TOGETHER = ("disorder+poison+redis-lost", "producer-restarts+clock-jumps")
"""Faults that end nothing but what may be lost are struck together: that takes less time."""

ALONE = [name for name in MATRIX if not any(name in some.split("+") for some in TOGETHER)]


@pytest.mark.parametrize("names", [*ALONE, *TOGETHER])
def test_each_reading_is_stored_once(private_stack: PrivateStack, names: str, tmp_path: Path) -> None:
    faults = [MATRIX[name] for name in names.split("+")]
    if names == "disk-full" and (why := obstacle()):
        pytest.skip(why)
    outcome = run_seed(private_stack, SEED, faults, tmp_path / "run")
    assert (outcome.found, outcome.not_struck) == ({}, {}), (outcome.command, outcome.remarks)
    assert outcome.readings > 1_000, "too few to say anything"
    assert outcome.records > 100, "too few to say anything"
