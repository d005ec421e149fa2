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
    """Return the rows of a binary COPY in the order given; header and trailer not included.

    ``time_us`` is in microseconds since 1970. Sorted by series and time they are stored faster.

    >>> rows = encode_readings(
    ...     np.array([7], np.int32), np.array([0]), np.array([1.5]), np.array([0], np.int16)
    ... )
    >>> rows["series_id"].tolist(), rows["value"].tolist()
    ([7], [1.5])
    """
    rows = np.repeat(_TEMPLATE, len(time_us))
    rows["ts"] = time_us - POSTGRES_EPOCH_US
    rows["value"] = value
    rows["series_id"] = series_id
    rows["quality"] = quality
    return rows
