"""Places for series, and who loses one."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.core.detect.slots import Slots


def test_the_series_heard_of_least_recently_loses_its_place() -> None:
    slots = Slots(most=3)
    for time_us, series in enumerate([5, 6, 7, 5]):
        slots.place(np.array([series]), time_us)
    placed = slots.place(np.array([8]), 9)

    assert placed.rows.tolist() == placed.new.tolist() == [1]
    assert slots.evicted == 1
    assert slots.place(np.array([5, 7]), 10).new.tolist() == []


def test_who_asks_loses_nothing_to_who_asks_beside_it() -> None:
    slots = Slots(most=2)
    slots.place(np.array([1]), 5)
    slots.place(np.array([2]), 6)
    placed = slots.place(np.array([1, 3]), 7)

    assert placed.rows.tolist() == [0, 1]
    assert placed.new.tolist() == [1]


@given(st.lists(st.sets(st.integers(0, 30), min_size=1, max_size=5), max_size=30))
def test_every_place_is_one_series(flushes: list[set[int]]) -> None:
    slots, holder = Slots(most=5), dict[int, int]()
    for time_us, wanted in enumerate(flushes):
        series = np.array(sorted(wanted))
        placed = slots.place(series, time_us)
        assert len(set(placed.rows.tolist())) == len(series)
        assert placed.rows.max() < slots.capacity <= 5
        for row, asked in zip(placed.rows.tolist(), series.tolist(), strict=True):
            assert (holder.get(row) == asked) == (row not in placed.new)
            holder[row] = asked
