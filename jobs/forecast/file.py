"""The hours of one series in a text file."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import numpy as np

from jobs.anomalies import read_rows
from streams.core.batch import Float64
from streams.core.forecast.hours import HOUR_US, by_hour

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_file(file: str) -> tuple[datetime, Float64]:
    """Return when the last hour ends, and the mean of each hour; ``-`` is input.

    The last hour counts though more of it may come. Raises :class:`UserError` at the first line that
    holds no reading, ``OSError``.
    """
    fd = 0 if file == "-" else os.open(file, os.O_RDONLY)
    try:
        rows = [(row.time_us, row.value) for block in read_rows(fd) for row in block]
    finally:
        if fd:
            os.close(fd)
    time_us, value = zip(*rows, strict=True) if rows else ((), ())
    start_us, hours = by_hour(np.array(time_us, np.int64), np.array(value, np.float64))
    return _EPOCH + timedelta(microseconds=start_us + len(hours) * HOUR_US), hours
