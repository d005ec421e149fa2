"""How far off a forecast may be, told by how far off the same models were on the days before.

Conformal (V. Vovk, A. Gammerman and G. Shafer, Algorithmic learning in a random world, 2005): no distribution
is assumed. Days are not exchangeable as that theory has them, so coverage is measured, not proven.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from streams.core.batch import Float64

BESIDE = 2
"""Errors of so many hours before and after tell of an hour, too."""

LEAST = 0.25
"""An hour's errors are taken for this share of the mean at least: some hours were right by chance."""

INDEPENDENT = 5
"""Errors of one origin are alike: they count as so many."""

_NORMAL = np.linspace(-4.0, 4.0, 801)
_BELOW = np.array([0.5 * math.erfc(-each / math.sqrt(2)) for each in _NORMAL])


@dataclass(frozen=True, slots=True)
class Bands:
    """How large errors are by hour, all errors beside that in order, and how alike those of neighbours are.

    ``wider``: quantiles are taken so many times farther out, as few errors rarely have large ones.
    """

    spread: Float64
    errors: Float64
    alike: float
    wider: float

    @staticmethod
    def of(errors: Float64) -> Bands:
        """Learn from errors by origin and hour, NaN where nothing is known."""
        known = ~np.isnan(errors)
        size = np.where(known, np.abs(errors), 0.0)
        mean = float(size.sum()) / max(int(known.sum()), 1)
        if mean == 0.0:
            return Bands(np.zeros(errors.shape[1]), np.zeros(1), 0.0, 1.0)
        total, count = _beside(size.sum(axis=0)), _beside(known.sum(axis=0).astype(np.float64))
        spread = np.maximum(np.where(count > 0, total / np.maximum(count, 1), mean), LEAST * mean)
        scaled = errors / spread
        wider = 1.0 + 1.0 / (INDEPENDENT * len(errors))
        return Bands(spread, np.sort(scaled[known]), _alike(scaled), wider)

    def below(self, share: float) -> Float64:
        """Return by hour the error that is not exceeded with this probability.

        >>> Bands.of(np.array([[-1.0, 1.0], [1.0, -1.0]])).below(0.9).tolist()
        [1.0, 1.0]
        """
        return self.spread * float(self._quantile(np.array([share]))[0])

    def paths(self, count: int, seed: int = 0) -> Float64:
        """Return possible errors of a whole horizon, a row each: neighbouring hours err alike."""
        normal = np.random.default_rng(seed).normal(size=(count, len(self.spread)))
        new = math.sqrt(1 - self.alike**2)
        for hour in range(1, len(self.spread)):
            normal[:, hour] = self.alike * normal[:, hour - 1] + new * normal[:, hour]
        return self._quantile(np.interp(normal, _NORMAL, _BELOW)) * self.spread

    def _quantile(self, share: Float64) -> Float64:
        share = np.where(share < 0.5, 1 - (1 - share) * self.wider, share * self.wider)
        place = (np.arange(len(self.errors)) + 1) / (len(self.errors) + 1)
        return np.interp(share, place, self.errors)


def _beside(value: Float64) -> Float64:
    return np.convolve(np.pad(value, BESIDE), np.ones(2 * BESIDE + 1), "valid")


def _alike(errors: Float64) -> float:
    """Return the correlation of an hour's error with that of the next hour."""
    one, other = errors[:, :-1], errors[:, 1:]
    both = ~np.isnan(one) & ~np.isnan(other)
    one, other = one[both], other[both]
    size = math.sqrt(float(one @ one) * float(other @ other))
    return min(max(float(one @ other) / size, 0.0), 0.999) if size else 0.0
