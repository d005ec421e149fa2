"""One unlike the others: against a plain computation, and where there is nothing to compare."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.detect.peers import FEWEST, unlike


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-50, 50)), max_size=60))
@settings(max_examples=50)
def test_it_is_what_medians_of_each_group_say(readings: list[tuple[int, int]]) -> None:
    group = np.array([each[0] for each in readings], np.int64)
    value = np.array([each[1] for each in readings], np.float64)
    expected = np.zeros(len(value))
    for number in set(group.tolist()):
        mine = value[group == number]
        if len(mine) >= FEWEST:
            away = mine - np.median(mine)
            least = 1e-6 * abs(np.median(mine)) + 1e-200
            expected[group == number] = away / max(1.4826 * float(np.median(np.abs(away))), least)

    assert np.allclose(unlike(group, value), expected)


def test_equal_peers_are_alike() -> None:
    assert not unlike(np.zeros(9, np.int64), np.full(9, 5.0)).any()
