"""Distances from the company: against a plain computation, and what they are blind to."""

from __future__ import annotations

import numpy as np

from streams.core.batch import Float64
from streams.core.detect.joint import SHRINK, Joint

ROW = np.array([0])


def statistics(signals: Float64) -> Float64:
    joint = Joint(signals.shape[1], calibrated=False)
    joint.grow(1)
    return np.array(
        [
            joint.measure(ROW, np.array([time_us]), signal[None]).statistic[0, 0]
            for time_us, signal in enumerate(signals)
        ]
    )


def company(count: int = 600) -> Float64:
    random = np.random.default_rng(1)
    return random.normal(size=(count, 1)) + 0.1 * random.normal(size=(count, 3)) + 10.0


def test_it_is_the_mahalanobis_distance_of_what_came_before() -> None:
    signals = company(300)
    signals[-2:] += [1.0, -1.0, 0.0]
    seen, now = signals[:-1], signals[-1]
    correlation = np.corrcoef(seen.T) * (1.0 - SHRINK) + SHRINK * np.eye(3)
    apart = (now - seen.mean(axis=0)) / seen.std(axis=0)
    distance = apart @ np.linalg.solve(correlation, apart) / 3.0
    before, after = (1.0 + statistics(signals[:count])[-1] for count in (299, 300))

    assert min(before, after) > 1.0
    assert np.isclose(after - before, (distance - before) / 15.0)


def test_a_correlation_that_breaks_is_found_within_the_usual_range() -> None:
    signals = company()
    signals[580:, 1] = 10.0 + np.random.default_rng(2).normal(size=20)
    found = statistics(signals)

    assert found[580:].max() > 3.0 * found[100:580].max()
    assert np.abs(signals[580:, 1] - 10.0).max() < np.abs(signals[:580, 1] - 10.0).max()


def test_units_and_levels_do_not_matter() -> None:
    signals = company()
    other = signals * [1e-6, 1.0, 1e9] + [1.0, 1e6, 0.0]

    assert np.allclose(statistics(signals), statistics(other), atol=1e-3)


def test_constant_signals_say_nothing() -> None:
    signals = company()

    with_one = statistics(np.column_stack([signals, np.full(600, 7.0)]))

    assert np.allclose(with_one[100:], statistics(signals)[100:], atol=1e-2)
