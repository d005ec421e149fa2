"""Series are saved a few at a time, and none is left unsaved for long."""

from __future__ import annotations

import numpy as np

from streams.core.batch import NEVER_US
from streams.core.detect.saving import (
    LONGEST_US,
    MOST_ROWS,
    READ_BACK,
    READINGS_PER_ROW,
    ROWS_AT_ONCE,
    Saving,
)


def test_what_is_not_saved_for_longest_goes_first() -> None:
    saving = Saving(saved_us=0)
    for number, series in enumerate([5, 9, 2, *range(10, 60)]):
        saving.note(np.array([series]), np.array([number]), readings=0)
    saving.note(np.array([5]), np.array([100]), readings=READINGS_PER_ROW * ROWS_AT_ONCE)

    taken = saving.take(200, watched=60)

    assert taken is not None
    assert taken.tolist() == [5, 9, 2, *range(10, 10 + ROWS_AT_ONCE - 3)]
    assert saving.all_to_us(200) == ROWS_AT_ONCE
    assert saving.take(200, watched=60) is None


def test_many_series_are_saved_more_often_so_that_a_claim_reads_no_more() -> None:
    watched = READ_BACK // 10
    saving = Saving()
    series = np.arange(watched)
    saving.note(series, np.full(watched, 7), readings=READ_BACK)

    taken = saving.take(8, watched)

    assert taken is not None
    assert len(taken) == watched
    assert saving.all_to_us(8) == 8


def test_what_waits_for_too_long_is_saved_whatever_it_costs() -> None:
    saving = Saving(saved_us=7)
    saving.note(np.arange(2 * MOST_ROWS), np.full(2 * MOST_ROWS, 7), readings=0)

    assert saving.take(7 + LONGEST_US, watched=MOST_ROWS) is None
    first, second = (saving.take(8 + LONGEST_US, watched=MOST_ROWS) for _ in range(2))

    assert first is not None
    assert second is not None
    assert (len(first), len(second)) == (MOST_ROWS, MOST_ROWS)
    assert saving.take(8 + LONGEST_US, watched=MOST_ROWS) is None


def test_what_was_read_back_is_paid_off_little_by_little() -> None:
    watched = READ_BACK // 25
    saving = Saving(saved_us=7)
    saving.note(np.arange(watched), np.full(watched, 7), readings=READ_BACK)
    saving.carry()
    taken, at_us = [], 8
    while saving.all_to_us(at_us) < at_us:
        saving.note(np.empty(0, np.int64), np.empty(0, np.int64), readings=50)
        rows = saving.take(at_us, watched)
        assert rows is not None
        assert len(rows) <= MOST_ROWS + 2
        taken += rows.tolist()
    assert taken == list(range(watched))


def test_readings_of_series_that_are_left_out_count_as_a_claim_reads_them() -> None:
    saving = Saving(saved_us=7)
    saving.note(np.empty(0, np.int64), np.empty(0, np.int64), READINGS_PER_ROW * ROWS_AT_ONCE)
    taken = saving.take(8, watched=0)
    assert taken is not None
    assert (len(taken), saving.all_to_us(8)) == (0, 8)
    assert saving.take(9, watched=0) is None
    assert saving.take(8 + LONGEST_US, watched=0) is None
    assert saving.take(9 + LONGEST_US, watched=0) is not None


def test_where_nothing_is_unsaved_all_is_saved() -> None:
    assert Saving().all_to_us(NEVER_US) == NEVER_US
