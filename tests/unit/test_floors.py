from __future__ import annotations

import numpy as np

from streams.core.deduplicate import Deduplicator, Disposition, Rows
from streams.core.floors import NO_FLOORS, Floors
from streams.core.identities import Stored

HOUR_US = 3_600_000_000
FLOORS = Floors(np.array([2, 5]), np.array([10 * HOUR_US, 20 * HOUR_US]))


def test_a_floor_is_of_its_series_alone() -> None:
    series, hours = np.array([1, 2, 2, 3, 5, 5, 6], np.int32), np.array([1, 9, 10, 1, 19, 20, 1])
    assert FLOORS.are_above(series, hours * HOUR_US).tolist() == [
        False,
        True,
        False,
        False,
        True,
        False,
        False,
    ]


def test_without_floors_nothing_is_below_one() -> None:
    assert NO_FLOORS.are_above(np.array([1], np.int32), np.array([-1])).tolist() == [False]


class Restored:
    """The database has one reading of a time that is given up."""

    def stored(self, series_id: np.ndarray, time_us: np.ndarray) -> Stored:
        found = (series_id == 5) & (time_us == 7 * HOUR_US)
        return Stored(found, np.where(found, 1.5, 0.0), np.zeros(len(found), np.int16))

    def revision(self, series_id: int, time_us: int) -> tuple[int, bool]:
        return 0, False


def test_what_is_given_up_is_recognised_where_it_is_stored_again_and_else_refused() -> None:
    stage = Deduplicator(0, np.array([5]), np.array([21 * HOUR_US]), 0, FLOORS)
    hours = np.array([30, 7, 7, 8, 20])
    count = len(hours)
    rows = Rows(
        np.full(count, 5, np.int32),
        hours * HOUR_US,
        np.array([1.0, 1.5, 2.5, 1.5, 3.0]),
        np.zeros(count, np.int16),
        np.zeros(count, np.int32),
        np.zeros(count, bool),
        np.zeros(count, bool),
    )
    assert [Disposition(each).name for each in stage.judge(rows, Restored()).disposition] == [
        "WRITTEN",
        "DUPLICATE",
        "EXPIRED",
        "EXPIRED",
        "WRITTEN",
    ]
