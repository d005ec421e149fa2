"""Small graphs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jobs.top.sparkline import BARS, levels, merged, sparkline

VALUES = st.lists(st.none() | st.floats(-1e12, 1e12), max_size=40)


@given(VALUES)
def test_every_value_has_one_bar_and_every_gap_none(values: list[float | None]) -> None:
    drawn = sparkline(values)

    assert len(drawn) == len(values)
    assert all((value is None) == (bar not in BARS) for value, bar in zip(values, drawn, strict=True))


@given(VALUES)
def test_higher_values_never_have_lower_bars(values: list[float | None]) -> None:
    known = [
        (v, level)
        for v, level in zip(values, levels(values), strict=True)
        if v is not None and level is not None
    ]

    assert [level for _, level in sorted(known)] == sorted(level for _, level in known)


@given(VALUES)
def test_what_varies_uses_the_whole_height(values: list[float | None]) -> None:
    known = {value for value in values if value is not None}
    if len(known) > 1:
        assert max(level for level in levels(values) if level is not None) == len(BARS) - 1


def test_the_scale_begins_at_zero_where_values_are_far_apart() -> None:
    assert levels([5.0, 10.0]) == [0, 7]
    assert levels([1.0, 10.0]) == [1, 7]
    assert levels([0.0, 0.0]) == [0, 0]
    assert levels([5.0, 5.0]) == [3, 3]


@given(VALUES, st.integers(1, 5))
def test_merging_keeps_the_mean(values: list[float | None], size: int) -> None:
    whole = values[: len(values) // size * size]
    for number, mean in enumerate(merged(whole, size)):
        group = [value for value in whole[number * size : (number + 1) * size] if value is not None]
        assert mean == (sum(group) / len(group) if group else None)
