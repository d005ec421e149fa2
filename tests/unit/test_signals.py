"""Smoothed values and the daily pattern, as streams, against NumPy over the whole past."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.detect.signals import DAY_US, FARTHEST, SIGNALS, SPANS, Signals

ROW = np.array([0])
QUARTER_US = DAY_US // 96


def signals_of(values: np.ndarray, times_us: np.ndarray) -> np.ndarray:
    signals = Signals()
    signals.grow(1)
    found = [
        signals.update(ROW, np.array([time_us]), np.array([value]))[0]
        for time_us, value in zip(times_us, values, strict=True)
    ]
    return np.array(found)


@pytest.mark.parametrize("offset", [0.0, 1.7e9])
def test_smoothed_values_are_weighted_means_of_every_prefix(offset: float) -> None:
    values = offset + np.random.default_rng(1).normal(size=200)
    found = signals_of(values, np.arange(200) * 60_000_000)
    for column, span in enumerate(SPANS):
        weights = np.zeros(0)
        for count, value in enumerate(values):
            weight = max(2 / (span + 1), 1 / (count + 1))
            weights = np.append(weights * (1 - weight), weight)
            assert np.isclose(
                found[count, column], weights @ (values[: count + 1] - value) + value, rtol=1e-14
            )


def test_residual_is_what_the_same_time_of_day_did_not_show_before() -> None:
    times_us = np.arange(96 * 5) * QUARTER_US
    daily = np.sin(2 * np.pi * np.arange(96 * 5) / 96)
    values = daily + np.repeat([0.0, 0.0, 0.0, 1.0, 4.0], 96)
    residual = signals_of(values, times_us)[:, SIGNALS.index("residual over 1")].reshape(5, 96)

    assert np.allclose(residual[1:3], 0.0)
    assert np.allclose(residual[3], 1.0)
    assert np.allclose(residual[4], 4.0 - 1.0 / 4)


def test_one_reading_beyond_reason_is_brought_near() -> None:
    values = np.append(np.tile([1.0, 2.0], 50), 1e300)
    found = signals_of(values, np.arange(101) * 60_000_000)

    assert found[-1, 0] == 2.0 + FARTHEST


def test_a_level_that_stays_is_reached_all_the_same() -> None:
    values = np.append(np.tile([1.0, 2.0], 50), np.full(20, 1e9))
    found = signals_of(values, np.arange(120) * 60_000_000)

    assert found[-1, 0] == 1e9
