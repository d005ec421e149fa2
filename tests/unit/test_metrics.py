"""From the slots of the last minute to a line of the view."""

from __future__ import annotations

import pytest

from jobs.top.metrics import SLOTS, Series, Slot, like_pattern, row

PUMP = Series(1, "default", "pump-1", "rpm", None)


def test_a_line_sums_up_its_slots() -> None:
    found = row(PUMP, [Slot(70, 2, 30.0, 10.0, 20.0, 20.0), Slot(72, 1, 5.0, 5.0, 5.0, 5.0)], last_slot=73)

    assert found is not None
    assert (found.now, found.low, found.mean, found.high) == (5.0, 5.0, 35.0 / 3, 20.0)
    assert len(found.bars) == SLOTS
    assert found.bars[-4:] == (15.0, None, 5.0, None)


def test_slots_older_than_the_graph_count_but_have_no_bar() -> None:
    found = row(PUMP, [Slot(0, 1, 1.0, 1.0, 1.0, 1.0), Slot(SLOTS, 1, 3.0, 3.0, 3.0, 3.0)], last_slot=SLOTS)

    assert found is not None
    assert found.mean == 2.0
    assert found.bars[0] is None


def test_a_series_without_readings_has_no_line() -> None:
    assert row(PUMP, [], last_slot=9) is None


@pytest.mark.parametrize(
    ("text", "pattern"),
    [("", "%%"), ("cpu", "%cpu%"), ("web*cpu", "%web%cpu%"), ("50%_\\", "%50\\%\\_\\\\%")],
)
def test_a_filter_is_a_part_of_the_name(text: str, pattern: str) -> None:
    assert like_pattern(text) == pattern
