"""Rates of counters: however readings are cut, and whenever a counter begins anew."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.detect.rates import Rates
from streams.core.detect.stretch import Stretch

SECOND_US = 1_000_000


def rates_of(values: list[float], cut: int) -> list[float]:
    rates, found = Rates(), list[float]()
    rates.grow(2)
    time_us, value = np.arange(len(values)) * SECOND_US, np.array(values)
    for part in (slice(0, cut), slice(cut, None)):
        both = np.repeat([1, 0], len(value[part]))
        stretch = Stretch.of_rows(
            both, np.tile(time_us[part], 2), np.concatenate([value[part], -value[part]])
        )
        found += rates.update(stretch)[: len(value[part])].tolist()
    return found


@pytest.mark.parametrize("cut", range(6))
def test_a_fall_has_no_rate_and_neither_has_the_first_reading(cut: int) -> None:
    found = rates_of([10.0, 10.0, 14.0, 3.0, 4.5], cut)

    assert np.array_equal(found, [np.nan, 0.0, 4.0, np.nan, 1.5], equal_nan=True)
