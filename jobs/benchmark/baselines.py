"""What any detector must beat: simple ones as published, chance, and a clock."""

from __future__ import annotations

import math

import numpy as np

from jobs.benchmark.nab import Labelled
from streams.core.batch import Bools, Float64

GAUSSIAN_WINDOW, GAUSSIAN_STEP = 6400, 100
CLOCK_READINGS = 300


def windowed_gaussian(series: Labelled) -> Float64:
    """Return NAB's baseline: how unlikely each value is for a normal distribution of those before.

    The window grows to ``GAUSSIAN_WINDOW`` readings, then moves by ``GAUSSIAN_STEP`` at once. Scores go
    from 0.5 to 1; NAB's threshold for it is 1, where no larger number can be told from it.
    """
    values, scores = series.value, np.zeros(len(series.value))
    start = end = 0
    mean, deviation = 0.0, 1.0
    for place, value in enumerate(values.tolist()):
        if place:
            scores[place] = 1.0 - 0.5 * math.erfc(abs(value - mean) / deviation / 1.4142)
        if place < GAUSSIAN_WINDOW or place + 1 - end == GAUSSIAN_STEP:
            end = place + 1
            start = max(0, end - GAUSSIAN_WINDOW)
            mean = float(values[start:end].mean())
            deviation = float(values[start:end].std()) or 1e-6
    return scores


def chance(series: Labelled, alarms: int) -> Bools:
    """Return so many alarms at random, the same ones every time."""
    found = np.zeros(len(series.value), bool)
    found[np.random.default_rng(len(series.name)).permutation(len(found))[:alarms]] = True
    return found


def clock(series: Labelled) -> Bools:
    """Return an alarm after every ``CLOCK_READINGS``."""
    alarms: Bools = np.arange(1, len(series.value) + 1) % CLOCK_READINGS == 0
    return alarms
