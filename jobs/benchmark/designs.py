"""Which detectors on which signals: all designs that were to choose from, so that the choice can be scored.

A design that is scored on the series that it was chosen on flatters itself. Here the design and its
threshold are chosen again on each part of the series, and scored on the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from jobs.benchmark.nab import Labelled, Profile, raw_score
from streams.core.batch import NEVER_US, Bools, Float64
from streams.core.detect.episodes import REFRACTORY
from streams.core.detect.likelihood import COMBINED
from streams.core.detect.signals import SPANS, Signals
from streams.core.detect.turns import turns

ALL_SPANS = (1, 4, 8, 16, 32, 64)
SPANS_OF = (SPANS, (1, 8, 64), (1, 32))
SIGNALS_OF = (("value", "residual"), ("value",))
DETECTORS_OF = (
    tuple(detector.name for detector in COMBINED),
    *((detector.name,) for detector in COMBINED),
)
THRESHOLDS = np.round(np.arange(0.7, 2.2, 0.05), 3)

_COLUMNS = list(product((detector.name for detector in COMBINED), SIGNALS_OF[0], ALL_SPANS))


class Design(NamedTuple):
    """What the mean surprise is the mean of."""

    detectors: tuple[str, ...]
    signals: tuple[str, ...]
    spans: tuple[int, ...]

    @property
    def columns(self) -> list[int]:
        """Where its surprises are among those of :func:`surprises_of_all`."""
        return [_COLUMNS.index(each) for each in product(self.detectors, self.signals, self.spans)]


DESIGNS = tuple(Design(*each) for each in product(DETECTORS_OF, SIGNALS_OF, SPANS_OF))
"""The first of them is the one that is used."""


def beginnings(surprise: Float64, threshold: float) -> Bools:
    """Return where episodes begin; at ``NOTICE`` as :class:`~streams.core.detect.episodes.Episodes` has them.

    >>> np.flatnonzero(beginnings(np.array([0.0, 2.0, 2.0] + [0.0] * 60 + [2.0]), 1.0)).tolist()
    [1, 63]
    """
    high = np.flatnonzero(surprise >= threshold)
    found = np.zeros(len(surprise), bool)
    found[high[np.diff(high, prepend=-REFRACTORY - 1) > REFRACTORY]] = True
    return found


def surprises_of_all(series: Sequence[Labelled]) -> list[Float64]:
    """Return of each series a row a reading, and a column for each detector, signal and span."""
    lengths = [len(one.value) for one in series]
    number = np.repeat(np.arange(len(series)), lengths)
    time_us = np.concatenate([one.time_us for one in series])
    value = np.concatenate([one.value for one in series])
    signals = Signals(ALL_SPANS)
    detectors = [detector(len(_COLUMNS) // len(COMBINED)) for detector in COMBINED]
    for part in (signals, *detectors):
        part.grow(len(series))
    found = np.zeros((len(value), len(_COLUMNS)))
    last_us = np.full(len(series), NEVER_US)
    for rows, readings in turns(number):
        later = time_us[readings] > last_us[rows]
        at, of = readings[later], rows[later]
        last_us[of] = time_us[at]
        looked_at = signals.update(of, time_us[at], value[at])
        scores = [detector.look(of, time_us[at], looked_at) for detector in detectors]
        found[at] = np.concatenate([score.surprise for score in scores], axis=1)
    return np.split(found, np.cumsum(lengths)[:-1])


def raw_of_designs(
    series: Sequence[Labelled], profile: Profile, designs: Sequence[Design] = DESIGNS
) -> Float64:
    """Return the raw score of each series (a row) by each design and, within it, each threshold (columns)."""
    raw = np.zeros((len(series), len(designs), len(THRESHOLDS)))
    for row, (one, surprises) in enumerate(zip(series, surprises_of_all(series), strict=True)):
        for number, design in enumerate(designs):
            surprise = surprises[:, design.columns].mean(axis=1)
            raw[row, number] = [
                raw_score(one, beginnings(surprise, threshold), profile) for threshold in THRESHOLDS
            ]
    return raw.reshape(len(series), -1)
