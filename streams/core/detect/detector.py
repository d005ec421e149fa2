"""What all detectors have in common: a statistic of each reading, and how unusual it is for its series."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import numpy as np

from streams.core.batch import NEVER_US, Float64, Int64
from streams.core.detect.memory import Field, Parts, Rows, SeriesState
from streams.core.detect.tail import score_of, surprise, tail_fields

LARGEST_VALUE = 1e100
"""What is larger counts as this: its square is a number still."""


class Measured(NamedTuple):
    """A statistic of some readings, and the numbers behind it: a row a reading, a column a signal.

    ``statistic`` is positive where the signal is above what was expected, negative below it, and 0
    where there is nothing to say. ``band`` is how far from ``expected`` is usual.
    """

    statistic: Float64
    expected: Float64
    band: Float64


class Scores(NamedTuple):
    """What a detector says of some readings; arrays as in :class:`Measured`.

    ``surprise`` is minus the decimal logarithm of the tail probability: 3 is one reading in a thousand.
    """

    surprise: Float64
    statistic: Float64
    expected: Float64
    band: Float64

    @property
    def score(self) -> Float64:
        """From 0 to 1: the share of the series' readings whose statistic was smaller."""
        return score_of(self.surprise)

    @staticmethod
    def nothing(rows: int, columns: int) -> Scores:
        """Return that nothing is known of any reading."""
        return Scores(*np.zeros((4, rows, columns)))


class Detector(Parts, ABC):
    """Looks at some signals of each series; sees each reading once, in order, and nothing of the future.

    ``columns``: how many signals a series has; each is looked at by itself. One that is not ``calibrated``
    measures, and knows nothing of tail probabilities. A reading with a signal that
    is not a finite number says nothing: it scores 0 and is not remembered. So is one of a time that
    was not after its predecessor's.
    """

    name: ClassVar[str]
    lowest: ClassVar[float] = 2.0**-5
    """A statistic up to this, a power of two, is usual; one of 4096 times as much is told from no larger."""

    ignores_level: ClassVar[bool] = True
    """Whether scores stay the same when a constant is added to all values."""

    ignores_scale: ClassVar[bool] = True
    """Whether scores stay the same when all values are multiplied by a constant."""

    def __init__(self, columns: int = 1, *, calibrated: bool = True) -> None:
        self.columns = columns
        tails = {**tail_fields(columns), "last_us": Field((), np.int64, NEVER_US)}
        self._state = SeriesState({**self._fields(), **(tails if calibrated else {})})
        super().__init__({"state": self._state})

    @abstractmethod
    def _fields(self) -> Mapping[str, Field]:
        """Return what is remembered of a series besides how often statistics were how large."""

    @abstractmethod
    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        """Measure a reading of each of some series against what came before, and remember it."""

    def measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        """Measure readings that are known to be later than those before, and finite numbers of reason."""
        return self._measure(rows, time_us, signals)

    def update(self, rows: Rows, time_us: Int64, signals: Float64) -> Scores:
        """Score the next reading of each of some series: ``signals`` has a row a series."""
        known = np.isfinite(signals).all(axis=1) & (time_us > self._state["last_us"][rows])
        signals = np.clip(signals, -LARGEST_VALUE, LARGEST_VALUE)
        if known.all():
            return self.look(rows, time_us, signals)
        scores = Scores.nothing(len(rows), self.columns)
        if known.any():
            for whole, part in zip(
                scores, self.look(rows[known], time_us[known], signals[known]), strict=True
            ):
                whole[known] = part
        return scores

    def look(self, rows: Rows, time_us: Int64, signals: Float64) -> Scores:
        """Score readings that are known to be later than those before, and finite numbers of reason."""
        measured = self._measure(rows, time_us, signals)
        self._state["last_us"][rows] = time_us
        unusual = surprise(self._state, rows, np.abs(measured.statistic), self.lowest)
        return Scores(unusual, *measured)
