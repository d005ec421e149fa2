"""Whether a level stayed after an episode, or came back."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.batch import Float64
from streams.core.detect.episodes import REFRACTORY
from streams.core.detect.regimes import Regimes
from streams.core.detect.stretch import Stretch

BEFORE, COUNT = 50, 50 + REFRACTORY + 20


def stayed(level_after: float, cuts: list[int]) -> list[tuple[int, int]]:
    """Two series: in the first one the level goes to another one and surprises at once."""
    noise = np.random.default_rng(1).normal(size=COUNT)
    value = noise + np.where(np.arange(COUNT) >= BEFORE, level_after, 0.0)
    surprise = np.where(np.arange(COUNT) == BEFORE, 2.0, 0.0)
    regimes, found = Regimes(), list[tuple[int, int]]()
    regimes.grow(2)
    for start, end in pairwise([0, *sorted(cuts), COUNT]):
        part = slice(start, end)
        rows, times_us = np.repeat([0, 1], end - start), np.tile(np.arange(start, end), 2)
        both: Float64 = np.concatenate([value[part], noise[part]])
        surprises = np.concatenate([surprise[part], np.zeros(end - start)])
        stretch = Stretch.of_rows(rows, times_us, both)
        found += regimes.update(stretch, np.array([70, 71])[stretch.rows], surprises)
    return found


@pytest.mark.parametrize(("level", "expected"), [(0.0, []), (9.0, [(70, BEFORE)]), (-9.0, [(70, BEFORE)])])
def test_a_level_that_stayed_is_told_with_the_end_of_its_episode(
    level: float, expected: list[tuple[int, int]]
) -> None:
    assert stayed(level, []) == expected


@given(st.lists(st.integers(0, COUNT), max_size=4), st.sampled_from([0.0, 1.0, 9.0]))
@settings(max_examples=15)
def test_cuts_do_not_matter(cuts: list[int], level: float) -> None:
    assert stayed(level, cuts) == stayed(level, [])
