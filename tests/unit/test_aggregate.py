"""Rows of buckets by examples: what counts, what a counter's restart is, what crosses parts."""

from __future__ import annotations

import numpy as np

from schemas.encode import BAD, GOOD, UNCERTAIN
from streams.core.aggregate import LARGEST, NOTHING, Aggregates, aggregate, coarsen, merge
from streams.core.batch import NEVER_US, Points
from tests.builders import BASE_US

S = 1_000_000
NAN = float("nan")
START_US = BASE_US // (60 * S) * 60 * S


def points(*rows: tuple[float, float], series: int = 1, quality: int = GOOD) -> Points:
    """Return readings of one series at these seconds."""
    seconds, values = zip(*rows, strict=True)
    times = np.array([START_US + round(second * S) for second in seconds], np.int64)
    count = len(rows)
    return Points(
        np.full(count, series, np.int32), times, np.array(values), np.full(count, quality, np.int16)
    )


def joined(*parts: Points) -> Points:
    some = Points.concat(parts)
    return some.take(np.lexsort((some.time_us, some.series_id)))


def minute(some: Points) -> Aggregates:
    return aggregate(some, 60 * S)


def test_a_row_tells_of_its_readings() -> None:
    rows = minute(points((1, 4.0), (2, 1.0), (5, 7.0)))

    assert (rows.series_id.tolist(), rows.bucket_us.tolist()) == ([1], [START_US])
    assert (rows.readings.tolist(), rows.bad.tolist(), rows.sum.tolist()) == ([3], [0], [12.0])
    assert (rows.min.tolist(), rows.max.tolist()) == ([1.0], [7.0])
    assert (rows.first.tolist(), rows.last.tolist()) == ([4.0], [7.0])
    assert (rows.first_us.tolist(), rows.last_us.tolist()) == ([START_US + S], [START_US + 5 * S])
    assert rows.m2.tolist() == [18.0]
    assert rows.integral.tolist() == [4.0 * 1 + 1.0 * 3]


def test_a_counter_that_falls_began_again_at_zero() -> None:
    assert minute(points((1, 10.0), (2, 15.0), (3, 2.0), (4, 3.0))).increase.tolist() == [5.0 + 2.0 + 1.0]


def test_a_counter_that_falls_from_one_part_to_the_next_began_again_too() -> None:
    first, second = minute(points((1, 10.0), (2, 15.0))), minute(points((3, 2.0), (4, 3.0)))

    assert merge([first, second]).increase.tolist() == [5.0 + 2.0 + 1.0]
    assert merge([first, minute(points((3, 18.0)))]).increase.tolist() == [8.0]


def test_a_value_holds_until_the_first_of_the_next_part() -> None:
    first, second = minute(points((50, 2.0), (55, 4.0))), minute(points((65, 1.0), (70, 9.0)))

    assert coarsen(merge([first, second]), 900 * S).integral.tolist() == [2.0 * 5 + 4.0 * 10 + 1.0 * 5]


def test_what_is_bad_is_counted_and_says_nothing_else() -> None:
    bad = joined(points((1, 99.0), (30, -99.0), quality=BAD), points((40, np.inf), (41, 1.1 * LARGEST)))
    rows = minute(joined(bad, points((10, 3.0), quality=UNCERTAIN), points((20, 5.0))))

    assert (rows.readings.tolist(), rows.bad.tolist()) == ([6], [4])
    assert (rows.first.tolist(), rows.last.tolist(), rows.sum.tolist()) == ([3.0], [5.0], [8.0])
    assert (rows.integral.tolist(), rows.increase.tolist()) == ([30.0], [2.0])


def test_where_all_is_bad_there_is_no_value_and_no_time() -> None:
    rows = minute(joined(points((1, 1.0), quality=BAD), points((1, 4.0), series=2)))

    assert (rows.readings.tolist(), rows.bad.tolist(), rows.sum.tolist()) == ([1, 1], [1, 0], [0.0, 4.0])
    assert np.isnan([rows.min[0], rows.max[0], rows.first[0], rows.last[0]]).all()
    assert (rows.first_us[0], rows.last_us[0]) == (NEVER_US, NEVER_US)


def test_a_part_that_says_nothing_is_bridged() -> None:
    parts = [
        minute(points((1, 10.0))),
        minute(points((2, 3.0), quality=BAD)),
        minute(points((5, 4.0))),
    ]
    rows = merge(parts)

    assert (rows.readings.tolist(), rows.bad.tolist()) == ([3], [1])
    assert (rows.increase.tolist(), rows.integral.tolist()) == ([4.0], [40.0])


def test_nothing_makes_no_rows() -> None:
    for rows in (minute(Points.concat([])), merge([]), merge([NOTHING, NOTHING]), coarsen(NOTHING, 60)):
        assert len(rows.readings) == 0
        assert [column.dtype for column in rows] == [column.dtype for column in NOTHING]


def test_zeros_have_one_sign_as_extremes() -> None:
    for told in ((0.0, -0.0), (-0.0, 0.0), (-0.0,)):
        rows = minute(points(*enumerate(told)))
        assert not np.signbit([rows.min[0], rows.max[0]]).any()
