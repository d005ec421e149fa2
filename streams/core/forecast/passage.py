"""When a limit is reached for the first time, as far as possible futures tell."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from streams.core.batch import Float64


class Passage(NamedTuple):
    """Hours until a limit is reached: with 10, 50 and 90 % it is by then. None: not within the horizon."""

    p10: int | None
    p50: int | None
    p90: int | None


def first_passage(paths: Float64, now: float, limit: float) -> Passage:
    """Return when a limit is reached, from the side that the value is on now.

    ``paths``: possible futures, a row each, an hour a column.

    >>> first_passage(np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 2.0]]), 0.0, 2.0)
    Passage(p10=2, p50=2, p90=3)
    """
    reached = paths >= limit if limit >= now else paths <= limit
    hours = np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)
    hours.sort()
    within = (hours[math.ceil(share * len(hours)) - 1] for share in (0.1, 0.5, 0.9))
    return Passage(*(int(each) if np.isfinite(each) else None for each in within))
