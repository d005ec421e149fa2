"""The fleet of the benchmark: each series reports evenly until the end, whatever the slices."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.benchmark.fleet import END_US, kinds, slices
from streams.core.batch import Points
from streams.core.levels import DAY_US

SERIES = 1_000


@pytest.mark.parametrize("count", [8, 97])
def test_each_series_reports_evenly_until_the_end(count: int) -> None:
    fleet = kinds(50_000, SERIES)
    parts = list(slices(fleet, count))
    points = Points.concat([part for part, _ in parts])
    expected = np.repeat([kind.readings for kind in fleet], [kind.series for kind in fleet])

    assert np.bincount(points.series_id)[1:].tolist() == expected.tolist()
    assert parts[-1][1] == END_US
    assert points.time_us.max() < END_US
    for series_id, kind in ((1, fleet[0]), (5, fleet[1]), (SERIES, fleet[2])):
        times_us = points.time_us[points.series_id == series_id]
        assert times_us.min() >= END_US - kind.days * DAY_US
        assert np.diff(times_us) == pytest.approx(kind.step_us, abs=2)


def test_a_slice_holds_its_time_in_order_of_series_then_time() -> None:
    from_us = 0
    for part, to_us in slices(kinds(50_000, SERIES), 30):
        assert ((part.time_us >= from_us) & (part.time_us < to_us)).all()
        assert (np.lexsort((part.time_us, part.series_id)) == np.arange(len(part.time_us))).all()
        from_us = to_us
