"""Closed buckets as rows of the database: read back in order, and held to what readings make."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.verify.rollups import differing, is_marked
from schemas.encode import BAD
from sinks.timescale import rollups
from sinks.timescale.copy import encode_readings
from sinks.timescale.rollups import Level, decode_points, decode_rollups, encode_rollups
from streams.core.aggregate import NOTHING, Aggregates, aggregate
from streams.core.batch import Points
from streams.core.rollup import Closing

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


ROWS = aggregate(POINTS, 60)
COLUMNS = [name for name in ROWS._fields if name not in ("series_id", "bucket_us")]


def test_what_is_the_same_does_not_differ() -> None:
    assert differing(ROWS, ROWS).tolist() == []


@pytest.mark.parametrize("name", COLUMNS)
def test_any_column_that_is_wrong_is_found(name: str) -> None:
    wrong = getattr(ROWS, name).copy()
    wrong[1] += 1
    bucket = [[7, 60]]

    assert differing(ROWS._replace(**{name: wrong}), ROWS).tolist() == bucket


@pytest.mark.parametrize("name", ["sum", "m2", "increase", "integral"])
def test_what_additions_in_another_order_change_is_not_wrong(name: str) -> None:
    near = getattr(ROWS, name) * (1 + 1e-12)

    assert differing(ROWS._replace(**{name: near}), ROWS).tolist() == []


def test_rows_that_only_one_has_differ() -> None:
    assert differing(ROWS.take(np.array([0, 1, 2])), ROWS).tolist() == [[8, 60]]
    assert differing(ROWS, ROWS.take(np.array([1, 2, 3]))).tolist() == [[7, 0]]


def test_what_a_flush_closes_is_stored_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollups, "ROWS_AT_ONCE", 3)
    closings = [Closing((60,), (rows,), ()) for rows in (ROWS, NOTHING, ROWS.take(np.array([1])))]
    found = list(rollups.pieces(closings, Level("1m", 60)))

    assert [len(piece.readings) for piece in found] == [3, 1, 1]
    np.testing.assert_array_equal(
        Aggregates.concat(found).bucket_us, np.append(ROWS.bucket_us, ROWS.bucket_us[1])
    )


MINUTE_US = 60_000_000


@pytest.mark.parametrize(
    ("width_us", "bucket_us", "excused"),
    [
        (MINUTE_US // 6, 5 * MINUTE_US + 50_000_000, True),
        (MINUTE_US // 6, 6 * MINUTE_US, False),
        (MINUTE_US, 5 * MINUTE_US, True),
        (MINUTE_US, 4 * MINUTE_US, False),
        (15 * MINUTE_US, 0, True),
        (15 * MINUTE_US, 15 * MINUTE_US, False),
    ],
)
def test_a_mark_excuses_the_buckets_in_it_and_those_that_it_is_in(
    width_us: int, bucket_us: int, excused: bool
) -> None:
    marks = np.array([[7, 5 * MINUTE_US]])

    assert is_marked(np.array([[7, bucket_us]]), marks, Level.of(width_us)).tolist() == [excused]
    assert is_marked(np.array([[8, bucket_us]]), marks, Level.of(width_us)).tolist() == [False]
