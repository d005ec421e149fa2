"""Watches series by all rules that there are for them: readings in order of time in, episodes out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streams.core.batch import NEVER_US, Bools, Float64, Int64, Points
from streams.core.detect import likelihood
from streams.core.detect.detector import LARGEST_VALUE
from streams.core.detect.episodes import Episode
from streams.core.detect.likelihood import Findings
from streams.core.detect.lookout import BAD, Lookout
from streams.core.detect.memory import Field, Parts, Rows, SeriesState, Snapshot
from streams.core.detect.rates import Rates
from streams.core.detect.regimes import Regimes
from streams.core.detect.ruled import RULED, Ruled
from streams.core.detect.rules import KINDS, Rule
from streams.core.detect.slots import Slots
from streams.core.detect.stretch import Stretch

REASONS = (*likelihood.REASONS, *((kind.name, kind.signal) for kind in RULED))
"""Of all episodes, by number: the detector, and the signal it looked at."""

WARM_UP_US = 86_400_000_000
"""Before that a series is watched for its values or rates alone."""

_LOOKOUT, _OWN = "lookout.", "rules."


class Watched(NamedTuple):
    """What came of some readings.

    ``findings`` and ``began`` are those of :class:`Lookout`, an entry a reading; ``begun`` are the episodes
    that other rules began, as they were then, ``ended`` all that are over. ``usual`` are those among
    them that are over because the series has another level now, and that is what is usual.
    """

    findings: Findings
    began: Bools
    begun: list[Episode]
    ended: list[Episode]
    usual: list[Episode]


def as_gauges(series: Int64) -> npt.NDArray[np.int64]:
    """Return the rules of series of which nothing is known: those of gauges."""
    return np.full(len(series), int(KINDS["gauge"]))


class Sentinel:
    """Judges readings of many series by the rules that each is watched for.

    ``rules_of`` tells of some series, when they are new here, which rules those are. Otherwise it is as
    :class:`Lookout`, which judges values and rates: a reading that it would not look at teaches nothing here
    either, and cuts do not matter. An episode that the others tell of has its rule's reason.

    >>> sentinel = Sentinel(most_series=1)
    >>> time_us, value = np.arange(2000) * 60_000_000, np.sin(np.arange(2000.0))
    >>> value[1900:1950] = 0.5
    >>> watched = sentinel.update(Points(np.zeros(2000, np.int32), time_us, value, np.zeros(2000, np.int16)))
    >>> [(REASONS[episode.reason][0], episode.end_us - episode.start_us) for episode in watched.ended]
    [('flat_line', 2940000000)]
    """

    def __init__(self, most_series: int, rules_of: Callable[[Int64], Int64] = as_gauges) -> None:
        self._lookout = Lookout(most_series)
        self._rules_of = rules_of
        self._slots = Slots(most_series)
        self._known = SeriesState(
            {
                "first_us": Field((), np.int64, NEVER_US),
                "last_us": Field((), np.int64, NEVER_US),
            }
        )
        self._rules = SeriesState({"rules": Field((), np.int64)})
        self._rates = Rates()
        self._regimes = Regimes()
        first_reason = len(likelihood.REASONS)
        self._ruled = tuple(Ruled(kind, first_reason + number) for number, kind in enumerate(RULED))
        self._memory = Parts(
            {
                "known": self._known,
                "rates": self._rates,
                "regimes": self._regimes,
                **{ruled.kind.name: ruled for ruled in self._ruled},
            }
        )

    @property
    def bytes_per_series(self) -> int:
        """What a series costs in memory, and in a snapshot."""
        return self._lookout.bytes_per_series + self._memory.bytes_per_series

    @property
    def evicted(self) -> int:
        """How many series were forgotten for want of room."""
        return self._slots.evicted

    def open(self) -> list[Episode]:
        """Return all episodes that are not over."""
        return [*self._lookout.open(), *(episode for ruled in self._ruled for episode in ruled.open())]

    def snapshot(self, series: Int64) -> Snapshot:
        """Return all that is remembered of some series, in their order."""
        rows, _ = self._place(series, NEVER_US)
        of_lookout, own = self._lookout.snapshot(series), self._memory.snapshot(rows)
        return {
            **{_LOOKOUT + name: array for name, array in of_lookout.items()},
            **{_OWN + name: array for name, array in own.items()},
        }

    def restore(self, series: Int64, snapshot: Snapshot) -> None:
        """Go on where a snapshot of these series was taken."""
        rows, _ = self._place(series, NEVER_US)
        self._lookout.restore(series, part_of(snapshot, _LOOKOUT))
        self._memory.restore(rows, part_of(snapshot, _OWN))

    def silent(self, now_us: int) -> list[Episode]:
        """Return the episodes of silence that began by a time up to which all readings were seen.

        Whether anybody asks changes nothing but when one is told of: :meth:`update` finds it, too, with the
        reading that ends it.
        """
        rows = np.arange(len(self._slots))
        rows = rows[(self._rules["rules"][rows] & Rule.SILENCE) != 0]
        ready = now_us - self._known["first_us"][rows] >= WARM_UP_US
        series = self._slots.series_at(rows)
        return [episode for ruled in self._ruled for episode in ruled.overdue(rows, series, now_us, ready)]

    def update(self, points: Points) -> Watched:
        """Judge readings that are sorted by series, then time."""
        starts = np.flatnonzero(_begins(points.series_id))
        most = self._slots.most
        if len(starts) <= most:
            return self._update(points)
        bounds = np.append(starts[::most], len(points.series_id))
        parts = [self._update(points.take(np.arange(*ends))) for ends in pairwise(bounds.tolist())]
        return Watched(
            Findings(*map(np.concatenate, zip(*(part.findings for part in parts), strict=True))),
            np.concatenate([part.began for part in parts]),
            [episode for part in parts for episode in part.begun],
            [episode for part in parts for episode in part.ended],
            [episode for part in parts for episode in part.usual],
        )

    def _update(self, points: Points) -> Watched:
        """Judge the readings of series for which there is room."""
        readings, rows, lost = self._taken(points)
        stretch = Stretch.of_rows(rows, points.time_us[readings], _limited(points.value[readings]))
        judged = self._judged(stretch)
        shown = np.full(len(points.value), np.nan)
        shown[readings] = judged
        seen = self._lookout.update(points._replace(value=shown))
        watched = Watched(seen.findings, seen.began, [], [*lost, *seen.ended], [])
        self._by_rules(stretch, watched)
        known = np.flatnonzero(np.isfinite(judged))
        likely = stretch.take(known)._replace(value=judged[known])
        series = self._slots.series_at(likely.rows)
        stayed = self._regimes.update(likely, series, seen.findings.surprise[readings[known]])
        watched.usual.extend(episode for episode in seen.ended if (episode.series, episode.end_us) in stayed)
        return watched

    def _judged(self, stretch: Stretch) -> Float64:
        """Return what is judged by how likely it is: values, rates, or nothing, which is NaN."""
        rules = self._rules["rules"][stretch.rows]
        judged = np.where(((rules & Rule.VALUE) != 0)[stretch.of], stretch.value, np.nan)
        if (counted := (rules & Rule.RATE) != 0).any():
            readings = stretch.chosen(counted)
            judged[readings] = self._rates.update(stretch.take(readings))
        return judged

    def _by_rules(self, stretch: Stretch, watched: Watched) -> None:
        """Take in the readings by each rule's own measure."""
        rules = self._rules["rules"][stretch.rows]
        for ruled in self._ruled:
            some = (rules & ruled.kind.rule) != 0
            if not some.any():
                continue
            part = stretch if some.all() else stretch.take(stretch.chosen(some))
            ready = part.time_us - self._known["first_us"][part.rows][part.of] >= WARM_UP_US
            begun, ended = ruled.update(part, self._slots.series_at(part.rows), ready)
            watched.begun.extend(begun)
            watched.ended.extend(ended)

    def _taken(self, points: Points) -> tuple[Rows, Rows, list[Episode]]:
        """Return the readings to look at, the places of their series, and the episodes that were lost."""
        readings = _in_order(points, np.flatnonzero(np.isfinite(points.value) & (points.quality != BAD)))
        begins, time_us = _begins(points.series_id[readings]), points.time_us[readings]
        series = points.series_id[readings[begins]].astype(np.int64)
        placed, lost = self._place(series, int(time_us.max(initial=NEVER_US)))
        rows = placed[np.cumsum(begins) - 1]
        later = time_us > self._known["last_us"][rows]
        if not later.all():
            readings, rows, time_us = readings[later], rows[later], time_us[later]
        first, last = _begins(rows), _begins(rows[::-1])[::-1]
        self._known["last_us"][rows[last]] = time_us[last]
        first_us = self._known["first_us"][rows[first]]
        self._known["first_us"][rows[first]] = np.where(first_us == NEVER_US, time_us[first], first_us)
        return readings, rows, lost

    def _place(self, series: Int64, time_us: int) -> tuple[Rows, list[Episode]]:
        """Return the places of some series, and the episodes of those that lose theirs to them."""
        placed = self._slots.place(series, time_us)
        self._memory.grow(self._slots.capacity)
        lost = [episode for ruled in self._ruled for episode in ruled.open_of(placed.new)]
        self._memory.clear(placed.new)
        self._rules.grow(self._slots.capacity)
        self._rules["rules"][placed.new] = self._rules_of(self._slots.series_at(placed.new))
        return placed.rows, lost


def _begins(keys: npt.NDArray[np.signedinteger]) -> Bools:
    """Tell where a key is not that of its predecessor."""
    return np.append(True, keys[1:] != keys[:-1])[: len(keys)]


def _limited(value: Float64) -> Float64:
    limited: Float64 = np.clip(value, -LARGEST_VALUE, LARGEST_VALUE)
    return limited


def _in_order(points: Points, readings: Rows) -> Rows:
    """Return those of some readings that are later than all before of their series."""
    series, time_us = points.series_id[readings], points.time_us[readings]
    if not (series[1:] == series[:-1])[time_us[1:] <= time_us[:-1]].any():
        return readings
    places = np.unique(time_us, return_inverse=True)[1]
    key = (np.cumsum(_begins(series)) - 1) * len(readings) + places.reshape(-1)
    later: Rows = readings[np.append(True, key[1:] > np.maximum.accumulate(key)[:-1])]
    return later


def part_of(snapshot: Snapshot, prefix: str) -> Snapshot:
    """Return what of a snapshot has names that begin so, by the rest of its names."""
    return {name.removeprefix(prefix): array for name, array in snapshot.items() if name.startswith(prefix)}
