"""Mean and standard deviation, as streams, against those of NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.detect import deviation
from streams.core.detect.deviation import HORIZON, Deviation


@pytest.mark.parametrize("offset", [0.0, 1.7e9])
def test_mean_and_deviation_are_those_of_every_prefix(offset: float) -> None:
    values = offset + np.random.default_rng(1).normal(size=500)
    detector = Deviation()
    detector.grow(1)
    for count, value in enumerate(values):
        scores = detector.update(np.array([0]), np.array([count]), np.array([[value]]))
        if count:
            assert np.isclose(scores.expected[0, 0], values[:count].mean(), rtol=1e-12)
            assert np.isclose(scores.band[0, 0], values[:count].std(), rtol=1e-5, atol=1e-9)


def test_after_the_horizon_older_readings_fade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deviation, "HORIZON", 10)
    values = np.random.default_rng(1).normal(size=100)
    detector = Deviation()
    detector.grow(1)
    for count, value in enumerate(values):
        scores = detector.update(np.array([0]), np.array([count]), np.array([[value]]))
    weights = 0.1 * np.append(np.full(10, 0.9**89), 0.9 ** np.arange(88, -1, -1.0))
    mean = np.average(values[:-1], weights=weights)

    assert HORIZON > 10
    assert np.isclose(scores.expected[0, 0], mean)
    assert np.isclose(scores.band[0, 0], np.sqrt(np.average((values[:-1] - mean) ** 2, weights=weights)))


def test_a_constant_that_changes_is_as_far_away_as_can_be() -> None:
    detector = Deviation()
    detector.grow(1)
    for count, value in enumerate([5.0] * 20 + [5.1]):
        scores = detector.update(np.array([0]), np.array([count]), np.array([[value]]))

    assert scores.statistic[0, 0] == deviation.LARGEST
