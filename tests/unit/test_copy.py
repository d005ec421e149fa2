from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.timescale.copy import POSTGRES_EPOCH_US, encode_readings
from streams.core.batch import Float64, Int16, Int32, Int64
from streams.core.deduplicate import series_time_order

ROW = struct.Struct(">hiqidiiih")

SERIES = st.integers(-(2**31), 2**31 - 1)
TIMES = st.integers(-(2**62), 2**62)


def arrays(rows: list[tuple[int, int, float, int]]) -> tuple[Int32, Int64, Float64, Int16]:
    series, times, values, qualities = zip(*rows, strict=True) if rows else ((), (), (), ())
    return (
        np.array(series, np.int32),
        np.array(times, np.int64),
        np.array(values, np.float64),
        np.array(qualities, np.int16),
    )


def test_a_row_has_the_bytes_that_the_manual_of_copy_describes() -> None:
    rows = encode_readings(*arrays([(7, POSTGRES_EPOCH_US + 5, 1.5, 2)]))
    assert rows.tobytes() == ROW.pack(4, 8, 5, 8, 1.5, 4, 7, 2, 2)


def test_no_readings_are_no_bytes() -> None:
    assert encode_readings(*arrays([])).tobytes() == b""


@given(
    st.lists(
        st.tuples(
            SERIES,
            st.integers(0, 2**52),
            st.floats(allow_nan=True, allow_infinity=True),
            st.integers(0, 2),
        )
    )
)
def test_every_reading_is_encoded_in_the_order_given(
    readings: list[tuple[int, int, float, int]],
) -> None:
    encoded = encode_readings(*arrays(readings)).tobytes()
    expected = [
        ROW.pack(4, 8, time_us - POSTGRES_EPOCH_US, 8, value, 4, series, 2, quality)
        for series, time_us, value, quality in readings
    ]
    assert encoded == b"".join(expected)


@given(st.lists(st.tuples(SERIES, TIMES)))
def test_the_order_is_that_of_a_stable_sort(keys: list[tuple[int, int]]) -> None:
    series, times, _, _ = arrays([(series, time_us, 0.0, 0) for series, time_us in keys])
    expected = sorted(range(len(keys)), key=lambda row: keys[row])
    assert series_time_order(series, times).tolist() == expected


@pytest.mark.parametrize("span_us", [2**31 - 1, 2**31, 2**32, 2**62])
def test_keys_that_do_not_fit_into_one_integer_are_sorted_as_two(span_us: int) -> None:
    series, times, _, _ = arrays([(2**31 - 1, span_us, 0.0, 0), (-(2**31), 0, 0.0, 0), (0, span_us, 0.0, 0)])
    assert series_time_order(series, times).tolist() == [1, 2, 0]
