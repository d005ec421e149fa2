"""An episode of a series, as it is stored and told."""

from __future__ import annotations

from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

import numpy as np
import orjson

from streams.core.batch import Points
from streams.core.detect.episodes import LEVELS, Episode, Severity
from streams.core.detect.likelihood import REASONS, Findings
from streams.core.detect.tail import score_of


class State(StrEnum):
    """Whether an episode goes on, is over, or was given up because other detectors took its series over."""

    OPEN = "open"
    OVER = "over"
    FORGOTTEN = "forgotten"


class Anomaly(NamedTuple):
    """An episode of a series as far as it is known; the numbers are those of its worst reading.

    ``revision`` counts what is told of it: that it began is 0, then each rise of its severity, and its
    end. ``surprise`` is minus the decimal logarithm of how often so much is seen, ``observed`` the signal
    that ``reason`` names, ``expected`` and ``band`` what was usual of it, ``statistic`` how far off it is.
    ``direction`` is 1 where it was too high and -1 where it was too low. ``end_us`` is the last reading
    that surprised, None while it goes on.
    """

    series_id: int
    start_us: int
    revision: int
    state: State
    severity: Severity
    detector: str
    reason: str
    direction: int
    surprise: float
    statistic: float
    observed: float
    expected: float
    band: float
    peak_us: int
    end_us: int | None = None

    @property
    def key(self) -> tuple[int, int]:
        """Series and start, which no two have in common."""
        return self.series_id, self.start_us

    @property
    def score(self) -> float:
        """From 0 to 1: one less how often so much is seen."""
        return float(score_of(np.array([self.surprise]))[0])

    def ended(self, end_us: int, state: State = State.OVER) -> Anomaly:
        """Return it as it is when it does not go on."""
        return self._replace(end_us=end_us, state=state, revision=self.revision + 1)

    def episode(self, tenant: str, source: str, metric: str) -> UUID:
        """Return its id, which is the same wherever the same readings are looked at.

        It is made of what names a series, and of the start; attributes of a series may change.
        """
        named = orjson.dumps([tenant, source, metric, self.start_us])
        return UUID(bytes=blake2b(named, digest_size=16).digest())


def severity_of(surprise: float) -> Severity:
    """Return how unlikely it is.

    >>> severity_of(2.3)
    <Severity.HIGH: 3>
    """
    return Severity(sum(surprise >= level for level in LEVELS))


def worst(points: Points, findings: Findings, row: int, before: Anomaly | None) -> Anomaly:
    """Return an episode of which this reading is the worst so far; it begins with it where none is before."""
    surprise, time_us = float(findings.surprise[row]), int(points.time_us[row])
    severity, statistic = severity_of(surprise), float(findings.statistic[row])
    detector, reason = REASONS[findings.reason[row]]
    revision = 0 if before is None else before.revision + (severity > before.severity)
    return Anomaly(
        int(points.series_id[row]),
        time_us if before is None else before.start_us,
        revision,
        State.OPEN,
        severity,
        detector,
        reason,
        (statistic > 0) - (statistic < 0),
        surprise,
        statistic,
        float(findings.observed[row]),
        float(findings.expected[row]),
        float(findings.band[row]),
        time_us,
    )


def resumed(episode: Episode) -> Anomaly:
    """Return an episode that goes on and of which nothing is stored any more: its numbers are not known."""
    detector, reason = REASONS[episode.reason]
    return Anomaly(
        episode.series,
        episode.start_us,
        0,
        State.OPEN,
        severity_of(episode.peak),
        detector,
        reason,
        episode.direction,
        episode.peak,
        0.0,
        0.0,
        0.0,
        0.0,
        episode.peak_us,
    )
