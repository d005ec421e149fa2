from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.forecast.passage import Passage, first_passage

PATHS = np.cumsum(np.random.default_rng(3).normal(0.2, 1.0, (200, 48)), axis=1)


def test_a_limit_that_no_path_reaches_is_not_reached() -> None:
    assert first_passage(PATHS, 0.0, 1e9) == Passage(None, None, None)


def test_the_first_hour_on_the_limit_counts_though_paths_return() -> None:
    paths = np.array([[1.0, 5.0, 1.0], [1.0, 1.0, 5.0], [1.0, 1.0, 1.0]])

    assert first_passage(paths, 0.0, 5.0) == Passage(2, 3, None)
    assert first_passage(-paths, 0.0, -5.0) == Passage(2, 3, None)


@settings(max_examples=50)
@given(st.floats(0, 40), st.floats(0, 40))
def test_a_limit_that_is_farther_away_is_reached_no_earlier(one: float, other: float) -> None:
    nearer, farther = (
        [hour or np.inf for hour in first_passage(PATHS, 0.0, limit)] for limit in sorted((one, other))
    )

    assert all(near <= far for near, far in zip(nearer, farther, strict=True))
    assert nearer == sorted(nearer), "what is surer takes longer"
