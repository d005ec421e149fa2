"""Roots: which of the episodes of one component is the cause, as far as their order and size can tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from streams.core.detect.episodes import Episode

HALVES_US = 300_000_000
"""An episode that began so much after the first counts half."""

TOGETHER_US = 300_000_000
"""Episodes belong together where the one begins before others are over, or so much later."""


class Suspect(NamedTuple):
    """An episode, and its share of suspicion among those that it belongs together with."""

    episode: Episode
    share: float


def ranked(episodes: Iterable[Episode]) -> list[Suspect]:
    """Return episodes that belong together, the most suspect first: what moved first and most.

    Suspicion is the peak, halved for each ``HALVES_US`` that an episode began after the first. Ties go
    by the start, then by the series.

    >>> first, larger = Episode(1, 0, 0, 9, 2.0, 0, 1), Episode(2, 2 * HALVES_US, 0, 0, 6.0, 0, 1)
    >>> [(suspect.episode.series, round(suspect.share, 2)) for suspect in ranked([larger, first])]
    [(1, 0.57), (2, 0.43)]
    """
    found = list(episodes)
    first_us = min((episode.start_us for episode in found), default=0)
    weights = [episode.peak * 0.5 ** ((episode.start_us - first_us) / HALVES_US) for episode in found]
    total = sum(weights)
    suspects = [Suspect(episode, weight / total) for episode, weight in zip(found, weights, strict=True)]
    return sorted(suspects, key=lambda each: (-each.share, each.episode.start_us, each.episode.series))


def together(episodes: Iterable[Episode]) -> list[Sequence[Episode]]:
    """Return the episodes of one component in parts that belong together, in order of time.

    >>> early, late = Episode(1, 0, 5, 9, 2.0, 0, 1), Episode(2, 10**9, 10**9, 10**9, 2.0, 0, 1)
    >>> [len(part) for part in together([late, early])]
    [1, 1]
    """
    parts: list[tuple[int, Episode]] = []
    number, end_us = 0, None
    for episode in sorted(episodes, key=lambda each: (each.start_us, each.series)):
        number += end_us is not None and episode.start_us > end_us + TOGETHER_US
        end_us = episode.end_us if end_us is None else max(end_us, episode.end_us)
        parts.append((number, episode))
    return [[episode for _, episode in part] for _, part in groupby(parts, key=lambda each: each[0])]
