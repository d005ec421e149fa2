"""One likelihood of an anomaly from several detectors: the mean of how surprised they are.

Each detector measures by its own statistic how unusual a reading is for its series (see ``tail``). The
mean over all of them beats the largest: what is worth waking up for is unusual in many ways, and
noise in one. There are few choices here on purpose: designs with more of them scored higher on the
series they were chosen on, and lower on all others.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.core.batch import Float64, Int16, Int64
from streams.core.detect.deviation import Deviation
from streams.core.detect.memory import Parts, Rows
from streams.core.detect.range_novelty import RangeNovelty
from streams.core.detect.signals import SIGNALS, Signals
from streams.core.detect.tail import score_of

COMBINED = (Deviation, RangeNovelty)
REASONS = tuple((detector.name, signal) for detector in COMBINED for signal in SIGNALS)
"""What surprised most, by number: the detector, and the signal it looked at."""


EXPLAINED = 0.5
"""The mean surprise from which on there are reasons: well below what anybody is told of."""


class Findings(NamedTuple):
    """What is thought of some readings, an entry each.

    ``surprise`` is the mean of minus the decimal logarithms of all tail probabilities. ``reason`` is the
    place in ``REASONS`` of what surprised most; ``statistic``, ``observed``, ``expected`` and ``band``
    are its numbers, and positive statistics mean too high. All five are 0 below ``EXPLAINED``.
    """

    surprise: Float64
    reason: Int16
    statistic: Float64
    observed: Float64
    expected: Float64
    band: Float64

    @property
    def score(self) -> Float64:
        """From 0 to 1: one less the geometric mean of the tail probabilities."""
        return score_of(self.surprise)

    def put(self, places: npt.NDArray[np.intp], found: Findings) -> None:
        """Write what is thought of some of the readings to their places."""
        columns: tuple[npt.NDArray[Any], ...] = self
        for column, of_some in zip(columns, found, strict=True):
            column[places] = of_some

    @staticmethod
    def nothing(count: int) -> Findings:
        """Return that nothing is thought of so many readings."""
        return Findings(np.zeros(count), np.zeros(count, np.int16), *np.zeros((4, count)))


class Likelihood(Parts):
    """Judges readings of many series, each by what its series showed before.

    >>> likelihood = Likelihood()
    >>> likelihood.grow(1)
    >>> row, times_us = np.array([0]), np.arange(100) * 60_000_000
    >>> for time_us, value in zip(times_us, [*np.sin(np.arange(99.0)), 9.0]):
    ...     findings = likelihood.update(row, np.array([time_us]), np.array([value]))
    >>> findings.surprise.round(1).tolist(), REASONS[findings.reason[0]]
    ([1.6], ('deviation', 'value over 1'))
    """

    def __init__(self) -> None:
        self._signals = Signals()
        self._detectors = tuple(detector(len(SIGNALS)) for detector in COMBINED)
        super().__init__({"signals": self._signals, **{part.name: part for part in self._detectors}})

    def update(self, rows: Rows, time_us: Int64, value: Float64) -> Findings:
        """Judge the next reading of each of some series: finite values, and later than those before."""
        signals = self._signals.update(rows, time_us, value)
        scores = [detector.look(rows, time_us, signals) for detector in self._detectors]
        surprises = np.concatenate([score.surprise for score in scores], axis=1)
        found = Findings.nothing(len(rows))
        found.surprise[:] = _mean(surprises)
        told = np.flatnonzero(found.surprise >= EXPLAINED)
        most = surprises[told].argmax(axis=1)
        found.reason[told] = most
        for number, score in enumerate(scores):
            of_this = most // len(SIGNALS) == number
            at = told[of_this], most[of_this] % len(SIGNALS)
            found.statistic[at[0]], found.observed[at[0]] = score.statistic[at], signals[at]
            found.expected[at[0]], found.band[at[0]] = score.expected[at], score.band[at]
        return found


def _mean(surprises: Float64) -> Float64:
    """Return the mean of each row, of a power of two of columns, added in an order of its own.

    That of NumPy's sums is its own affair.
    """
    count = surprises.shape[1]
    sums = surprises[:, : count // 2] + surprises[:, count // 2 :]
    while sums.shape[1] > 1:
        sums = sums[:, ::2] + sums[:, 1::2]
    mean: Float64 = sums[:, 0] / count
    return mean
