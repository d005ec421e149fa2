"""Rivals are timed by the commits that they note."""

from __future__ import annotations

import pytest

from jobs.benchmark.comparison import run_of
from streams.errors import UserError


def test_the_rate_is_from_the_first_commit_to_the_last() -> None:
    run = run_of([(10.0, 500), (11.0, 1_000), (12.0, 3_000)], {"worker": 1.0})

    assert (run.readings, run.seconds, run.rate) == (4_000, 2.0, 2_000.0)


def test_one_commit_has_no_rate() -> None:
    with pytest.raises(UserError, match="stored at once"):
        run_of([(10.0, 500)], {})
