"""Readings one by one: what the exact readers yield before they become columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streams.core.batch import COLUMN_TYPES, Columns, Messages

INVALID = -1
"""Stands for a quality or revision that its column could not hold; validation refuses it."""

MAX_REVISION = (1 << 31) - 1


class Row(NamedTuple):
    """One reading: the ``place``-th of the ``message``-th record of its chunk."""

    message: int
    place: int
    series: int
    time_us: int
    value: float
    quality: int
    revision: int
    producer: int
    epoch: int
    sequence: int


def to_columns(rows: Sequence[Row], messages: Messages) -> Columns:
    """Return rows as columns, completed by what Kafka says about their records."""
    if not rows:
        return Columns.empty()
    given = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
    message = np.array(given.pop("message"), np.intp)
    place = np.array(given.pop("place"), np.int32)
    return Columns(
        **{name: np.array(numbers, COLUMN_TYPES[name]) for name, numbers in given.items()},
        index=place,
        offset=messages.offsets[message],
        stamp_ms=messages.timestamps_ms[message],
    )
