"""The range that was seen, as a stream, against one that looks at everything again."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.detect.range_novelty import SHRINKS, RangeNovelty


def test_range_is_that_of_every_prefix_but_for_what_faded() -> None:
    values = np.random.default_rng(1).normal(size=300)
    detector = RangeNovelty()
    detector.grow(1)
    for count, value in enumerate(values):
        scores = detector.update(np.array([0]), np.array([count]), np.array([[value]]))
        if count > 1:
            seen = values[:count]
            low = scores.expected[0, 0] - scores.band[0, 0]
            high = scores.expected[0, 0] + scores.band[0, 0]
            faded = count * SHRINKS * np.ptp(seen)
            assert seen.min() <= low + 1e-12 <= seen.min() + faded + 2e-12
            assert seen.max() >= high - 1e-12 >= seen.max() - faded - 2e-12


@pytest.mark.parametrize(("value", "widths"), [(8.0, 2.5), (-2.0, -1.5), (2.5, 0.0)])
def test_outside_counts_in_widths_with_its_sign(value: float, widths: float) -> None:
    detector = RangeNovelty()
    detector.grow(1)
    for count, reading in enumerate([1.0, 3.0, 2.0, value]):
        scores = detector.update(np.array([0]), np.array([count]), np.array([[reading]]))

    assert np.isclose(scores.statistic[0, 0], widths, rtol=1e-3)
