"""Figures of several rounds: the middle one, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of some rounds with the lowest and the highest of them."""

    median: float
    lowest: float
    highest: float

    @staticmethod
    def of(values: Iterable[float]) -> Figure:
        """Sum up one value a round.

        >>> Figure.of([3.0, 1.0, 2.0])
        Figure(median=2.0, lowest=1.0, highest=3.0)
        """
        some = sorted(values)
        return Figure(median(some), some[0], some[-1])

    @property
    def spread(self) -> float:
        """How far the rounds lie apart, as a share of their median.

        >>> Figure(200.0, 190.0, 210.0).spread
        0.1
        """
        return (self.highest - self.lowest) / self.median if self.median else 0.0


def ratio(ones: Sequence[float], others: Sequence[float]) -> Figure:
    """Sum up the ratios of two contestants, each within its own round: what slows a round slows both.

    >>> ratio([80.0, 40.0], [100.0, 50.0]).median
    0.8
    """
    return Figure.of(one / other for one, other in zip(ones, others, strict=True))


def medians(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each name over all rounds that have it.

    >>> medians([{"decode": 1.0}, {"decode": 3.0, "copy": 5.0}])
    {'decode': 2.0, 'copy': 5.0}
    """
    names = dict.fromkeys(name for each in rounds for name in each)
    return {name: median(each[name] for each in rounds if name in each) for name in names}


def percentiles_ms(latencies_s: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return the percentiles that latencies are told by, in milliseconds.

    >>> percentiles_ms(np.arange(1001) / 1000)
    {'p50': 500.0, 'p99': 990.0, 'p99.9': 999.0, 'max': 1000.0}
    """
    wanted = {"p50": 50.0, "p99": 99.0, "p99.9": 99.9, "max": 100.0}
    found = np.percentile(latencies_s, list(wanted.values())) * 1000
    return {name: round(float(value), 3) for name, value in zip(wanted, found, strict=True)}
