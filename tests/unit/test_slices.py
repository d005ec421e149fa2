"""Slices of time: all rows come, each once and in order, and never too many at once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sinks.timescale.copy import Rows, layout
from sinks.timescale.slices import read_sliced, slice_end_us

ROW = layout(ts=">i8")
TIMES = st.lists(st.integers(-50, 400) | st.integers(100, 110), max_size=80)


@given(times=TIMES, begin_us=st.integers(-60, 60), length_us=st.integers(0, 400), most=st.integers(1, 9))
def test_all_that_is_in_a_time_comes_in_order_and_never_too_much_at_once(
    times: list[int], begin_us: int, length_us: int, most: int
) -> None:
    stored = np.repeat(ROW, len(times))
    stored["ts"] = times

    def read(from_us: int, to_us: int, limit: int) -> Rows:
        found = stored[(stored["ts"] >= from_us) & (stored["ts"] < to_us)]
        return found[:limit]

    parts = [part["ts"].tolist() for part in read_sliced(read, begin_us, begin_us + length_us, 60, most)]

    assert [time for part in parts for time in sorted(part)] == sorted(
        time for time in times if begin_us <= time < begin_us + length_us
    )
    assert all(len(part) <= most or len(set(part)) == 1 for part in parts)


@given(at_us=st.integers(-500, 500), unit_us=st.integers(1, 100), power=st.integers(-12, 5))
def test_a_slice_ends_where_a_unit_does_or_within_one(at_us: int, unit_us: int, power: int) -> None:
    end_us = slice_end_us(at_us, unit_us, power)

    assert end_us > at_us
    assert end_us % unit_us == 0 or (power < 0 and end_us // unit_us == at_us // unit_us)


def test_nothing_is_read_twice_where_the_first_slice_is_small_enough() -> None:
    asked = []

    def read(from_us: int, to_us: int, limit: int) -> Rows:
        asked.append(min(8 * (to_us - from_us), limit))
        return np.repeat(ROW, asked[-1])

    read_all = [len(part) for part in read_sliced(read, 0, 600, 60, 100, power=-4)]

    assert asked == read_all
    assert sum(read_all) == 8 * 600
