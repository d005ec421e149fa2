"""Readings as the bytes of PostgreSQL's binary COPY, built by numpy.

Source of the format: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streams.core.batch import Float64, Int16, Int32, Int64

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 00:00:00 UTC, where PostgreSQL's clock starts, in microseconds since 1970."""

COPY_READINGS = "COPY readings (ts, value, series_id, quality) FROM STDIN (FORMAT BINARY)"

ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("ts_bytes", ">i4"),
        ("ts", ">i8"),
        ("value_bytes", ">i4"),
        ("value", ">f8"),
        ("series_id_bytes", ">i4"),
        ("series_id", ">i4"),
        ("quality_bytes", ">i4"),
        ("quality", ">i2"),
    ]
)
_TEMPLATE = np.array([(4, 8, 0, 8, 0, 4, 0, 2, 0)], ROW)


def encode_readings(series_id: Int32, time_us: Int64, value: Float64, quality: Int16) -> npt.NDArray[np.void]:
    """Return the rows of a binary COPY, ordered by series and time; header and trailer not included.

    ``time_us`` is in microseconds since 1970. Readings of the same series and time stay in the
    order given.

    >>> rows = encode_readings(
    ...     np.array([7, 3], np.int32), np.array([0, 0]), np.array([1.5, 2.5]), np.array([0, 2], np.int16)
    ... )
    >>> rows["series_id"].tolist(), rows["value"].tolist()
    ([3, 7], [2.5, 1.5])
    """
    order = series_time_order(series_id, time_us)
    rows = np.repeat(_TEMPLATE, len(order))
    rows["ts"] = time_us.take(order) - POSTGRES_EPOCH_US
    rows["value"] = value.take(order)
    rows["series_id"] = series_id.take(order)
    rows["quality"] = quality.take(order)
    return rows


def series_time_order(series_id: Int32, time_us: Int64) -> npt.NDArray[np.intp]:
    """Return the stable order of readings by series, then time.

    Both are packed into one integer where they fit, because what producers send is made of sorted
    runs, which a stable sort of one key merges far faster than a sort by two keys.

    >>> series_time_order(np.array([2, 1, 2], np.int32), np.array([5, 9, 4])).tolist()
    [1, 2, 0]
    """
    if len(time_us) == 0:
        return np.empty(0, np.intp)
    first_series, first_us = int(series_id.min()), int(time_us.min())
    span_us = int(time_us.max()) - first_us + 1
    if (int(series_id.max()) - first_series + 1) * span_us > np.iinfo(np.int64).max:
        return np.lexsort((time_us, series_id))
    key = (series_id - np.int64(first_series)) * span_us + (time_us - first_us)
    return np.argsort(key, kind="stable")
