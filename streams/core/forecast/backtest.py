"""Which models are best for a series: as each would have done on the days before, knowing nothing later."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from streams.core.batch import Float64
from streams.core.forecast.hours import DAY, filled, held
from streams.core.forecast.simple import TO_BEAT, simple, usual

FEWEST_HOURS = 3 * DAY
"""A model is given so many hours at least."""

MOST_ORIGINS = 7
"""A day of each kind in a week: with others, what is best on Sundays is chosen for Mondays."""

BEST = 5
"""So many are the best; the median of what they say errs less than any of them."""


class Fits(Protocol):
    """Returns what models say of the hours after a history: all or those wanted, none that failed."""

    def __call__(
        self, history: Float64, horizon: int, wanted: Collection[str] | None, /
    ) -> Mapping[str, Float64]: ...


def no_fits(*_: object) -> Mapping[str, Float64]:
    """Return nothing: only what needs no model competes."""
    return {}


class Choice(NamedTuple):
    """The models whose median is the forecast, its errors by origin and hour, and their mean size."""

    models: tuple[str, ...]
    errors: Float64
    error: float


def origins_of(hours: int, horizon: int) -> list[int]:
    """Return where forecasts are tried, each a day before the other, the latest first.

    >>> origins_of(hours=7 * 24, horizon=24)
    [144, 120, 96, 72]
    """
    return list(range(hours - horizon, FEWEST_HOURS - 1, -DAY))[:MOST_ORIGINS]


def choose(value: Float64, origins: Sequence[int], horizon: int, fits: Fits) -> Choice:
    """Return the five best models, of those no worse than the simplest; a simplest where that is no better.

    Models see histories without gaps and outliers; errors are from what happened, as it was.
    """
    tried = [ahead_of(value[:origin], horizon, fits) for origin in origins]
    actual = [value[origin : origin + horizon] for origin in origins]

    def judged(models: Sequence[str]) -> Choice:
        said = [median_of(each, models) for each in tried]
        errors = np.stack(actual) - np.stack(said)
        known = errors[~np.isnan(errors)]
        return Choice(tuple(models), errors, float(np.abs(known).mean()) if len(known) else np.inf)

    names = [name for name in tried[-1] if all(name in each for each in tried)]
    alone = {name: judged([name]) for name in names}
    simplest = min((alone[name] for name in TO_BEAT if name in alone), key=_error)
    best = sorted(alone, key=lambda name: alone[name].error)[:BEST]
    members = sorted(name for name in best if alone[name].error <= simplest.error)
    return min(simplest, judged(members), key=_error)


def _error(choice: Choice) -> float:
    return choice.error


def ahead_of(
    value: Float64, horizon: int, fits: Fits, wanted: Collection[str] | None = None
) -> dict[str, Float64]:
    """Return what is forecast after ``value``, by model: all, or those that need no fit and those wanted."""
    history = held(filled(value))
    return {**simple(history, horizon), **usual(history, horizon), **fits(history, horizon, wanted)}


def median_of(ahead: Mapping[str, Float64], models: Sequence[str]) -> Float64:
    """Return the median of some models' forecasts, of which one at least is there."""
    return np.median([ahead[name] for name in models if name in ahead], axis=0)
