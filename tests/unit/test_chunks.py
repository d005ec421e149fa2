from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobs.archive.chunks import Chunk, groups, slices

counts = st.dictionaries(st.integers(1, 20), st.integers(1, 50))


@given(counts=counts, most=st.integers(1, 60))
def test_groups_are_all_series_in_order_each_once_and_none_is_too_large(
    counts: dict[int, int], most: int
) -> None:
    found = list(groups(counts, most))
    assert [each for group in found for each in group] == sorted(counts)
    assert all(len(group) == 1 or sum(counts[each] for each in group) <= most for group in found)


@given(counts=counts, most=st.integers(1, 60))
def test_slices_are_all_of_the_time_of_each_series(counts: dict[int, int], most: int) -> None:
    chunk = Chunk(0, 1_000_000)
    at: dict[int, int] = {}
    for series, times in slices(chunk, counts, most):
        for each in series:
            assert times.begins_us == at.get(each, 0) < times.ends_us
            at[each] = times.ends_us
    assert at == dict.fromkeys(counts, 1_000_000)


def test_a_day_is_told_by_its_date() -> None:
    day_us = 86_400_000_000
    assert str(Chunk(0, day_us)) == "1970-01-01"
    assert str(Chunk(0, 7 * day_us)) == "1970-01-01 00:00 to 1970-01-08 00:00"
