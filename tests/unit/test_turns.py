"""Turns, against a loop over readings."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.core.detect.turns import turns


@given(st.lists(st.integers(0, 5), max_size=40))
def test_the_kth_turn_has_the_kth_reading_of_each_series(series: list[int]) -> None:
    ordered = sorted(series)
    distinct = sorted(set(ordered))
    for number, (of_series, readings) in enumerate(turns(np.array(ordered, np.int64))):
        expected = {each: ordered.index(each) + number for each in distinct if ordered.count(each) > number}
        assert [distinct[place] for place in of_series] == list(expected)
        assert readings.tolist() == list(expected.values())
    count = len(list(turns(np.array(ordered, np.int64))))
    assert count == max((ordered.count(each) for each in distinct), default=0)
