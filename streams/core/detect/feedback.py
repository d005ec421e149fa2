"""Feedback: what people said of episodes, and which threshold would have told of fewer false ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

FEWEST = 6
"""With fewer labels of a metric nothing is suggested."""

HELD_BACK = 1 / 3
"""This share of the labels, the latest ones, is kept to see what a threshold is worth."""

STEP = 0.05
"""Thresholds are multiples of this."""


class Label(NamedTuple):
    """What somebody said of an episode: ``true`` where it was worth telling of."""

    metric: str
    start_us: int
    surprise: float
    true: bool


class Outcome(NamedTuple):
    """What a threshold does to episodes that are labelled."""

    true: int
    true_left: int
    false: int
    false_left: int


class Suggestion(NamedTuple):
    """A threshold of the surprise for a metric; what it does to the labels it was made of, and to others."""

    metric: str
    threshold: float
    learnt: Outcome
    held_back: Outcome


def suggestions(labels: Iterable[Label]) -> list[Suggestion]:
    """Return thresholds for the metrics that have labels enough, in order of their names.

    Of the earlier labels no true one is lost. What it does to the later ones is only counted, so that
    it can be believed or not. Where a threshold would leave all false ones nothing is suggested.

    >>> told = [Label("load", day, 1.3 + day % 2, bool(day % 2)) for day in range(9)]
    >>> suggestions(told)[0].threshold, suggestions(told)[0].held_back
    (1.35, Outcome(true=1, true_left=1, false=2, false_left=0))
    """
    by_metric = groupby(
        sorted(labels, key=lambda each: (each.metric, each.start_us)), lambda each: each.metric
    )
    found = (_suggestion(metric, list(of_metric)) for metric, of_metric in by_metric)
    return [suggestion for suggestion in found if suggestion is not None]


def _suggestion(metric: str, labels: Sequence[Label]) -> Suggestion | None:
    if len(labels) < FEWEST:
        return None
    split = len(labels) - math.ceil(len(labels) * HELD_BACK)
    threshold = _threshold(labels[:split])
    learnt, held_back = _outcome(labels[:split], threshold), _outcome(labels[split:], threshold)
    return Suggestion(metric, threshold, learnt, held_back) if learnt.false_left < learnt.false else None


def _threshold(labels: Sequence[Label]) -> float:
    """Return the highest threshold that loses no true one, and is not higher than false ones ask for."""
    true = [label.surprise for label in labels if label.true]
    false = [label.surprise for label in labels if not label.true]
    above_false = (math.floor(max(false, default=0.0) / STEP + 1e-9) + 1) * STEP
    below_true = math.floor(min(true, default=math.inf) / STEP) * STEP if true else math.inf
    return round(min(above_false, below_true), 2)


def _outcome(labels: Sequence[Label], threshold: float) -> Outcome:
    true = [label.surprise >= threshold for label in labels if label.true]
    false = [label.surprise >= threshold for label in labels if not label.true]
    return Outcome(len(true), sum(true), len(false), sum(false))
