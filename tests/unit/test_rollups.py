"""Closed buckets as rows of the database: what is read back is in order, however it came."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.encode import BAD
from sinks.timescale.copy import encode_readings
from sinks.timescale.rollups import decode_points, decode_rollups, encode_rollups
from streams.core.aggregate import aggregate
from streams.core.batch import Points

READINGS = [(7, 5, 1.5, 0), (7, 61, -2.0, 0), (7, 62, 4.0, 1), (8, 0, 9.0, BAD), (8, 60, 0.5, 0)]
POINTS = Points(
    *(
        np.array(column, kind)
        for column, kind in zip(
            zip(*READINGS, strict=True), (np.int32, np.int64, float, np.int16), strict=True
        )
    )
)
ANY_ORDER = st.permutations(range(len(READINGS)))


@given(ANY_ORDER)
def test_readings_are_in_order_of_series_and_time_however_they_came(order: list[int]) -> None:
    decoded = decode_points(encode_readings(*POINTS.take(np.array(order))))

    for column, expected in zip(decoded, POINTS, strict=True):
        np.testing.assert_array_equal(column, expected)


@given(st.permutations(range(4)))
def test_rows_are_in_order_of_series_and_bucket_however_they_came(order: list[int]) -> None:
    rows = aggregate(POINTS, 60)
    assert len(rows.readings) == len(order)

    decoded = decode_rollups(encode_rollups(rows.take(np.array(order))))

    for column, expected in zip(decoded, rows, strict=True):
        np.testing.assert_array_equal(column, expected)


def test_what_a_bucket_without_a_value_has_survives() -> None:
    rows = aggregate(POINTS.take(np.array([3])), 60)
    decoded = decode_rollups(encode_rollups(rows))

    assert decoded.bad.tolist() == [1]
    assert np.isnan(decoded.first).all()
    assert decoded.first_us.tolist() == rows.first_us.tolist()
