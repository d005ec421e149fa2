"""Watches the series of one partition for anomalies, as their readings are released.

What is released is a function of the log, and so is what comes of it: neither flushes nor restarts
change it. What detectors remember is saved series by series, a few with each flush. Whoever goes on
with the partition looks once more at what was released since a series was saved, and tells nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2s
from typing import NamedTuple

import numpy as np

from streams.core.anomaly import Anomaly, State, resumed, worst
from streams.core.batch import NEVER_US, Bools, Int64, Points
from streams.core.detect.choice import Choice
from streams.core.detect.codec import Codec, States
from streams.core.detect.episodes import NOTICE
from streams.core.detect.lookout import Lookout, Seen
from streams.core.detect.saving import Saving

DESIGN = 1
"""Raise it whenever the same readings come to other findings: what other detectors remember is of no use."""

MOST_SERIES = 20_000

_UNKNOWN, _WATCHED, _LEFT_OUT, _WITHOUT_ROOM = range(4)
_SMALLEST = 1024


@dataclass(slots=True)
class Sightings:
    """What came of some readings.

    ``told`` are the episodes that began, rose in severity or ended, each as it was then, in that order.
    ``changed`` has the last that is known of each episode of which anything changed. ``watched`` series
    are looked at; ``without_room`` came when there were as many as may be.
    """

    told: list[Anomaly] = field(default_factory=list)
    changed: dict[tuple[int, int], Anomaly] = field(default_factory=dict)
    watched: int = 0
    without_room: int = 0

    @staticmethod
    def together(parts: Sequence[Sightings]) -> Sightings:
        """Return what came of readings that were looked at part by part."""
        whole = Sightings()
        for part in parts:
            whole.told += part.told
            whole.changed |= part.changed
            whole.watched, whole.without_room = part.watched, part.without_room
        return whole

    def note(self, anomaly: Anomaly, *, tells: bool) -> None:
        """Take in what is known of an episode now."""
        self.changed[anomaly.key] = anomaly
        if tells:
            self.told.append(anomaly)


class Saved(NamedTuple):
    """What is to be stored, so that another owner can go on.

    All readings before ``all_to_us`` are in what is stored of series, with the ``states`` of these.
    ``begins``: what was stored before is of no use.
    """

    series: Int64
    states: States
    all_to_us: int
    begins: bool


class Watch:
    """What is known of a partition's series, to tell what is unusual of them.

    Readings are looked at from ``began_us`` on. Of more than ``most_series`` series those that come later
    are left out: which ones these are may depend on how readings were cut into flushes; nothing else
    does. ``saved_us``: up to where all of them is stored; ``NEVER_US`` where nothing is yet.
    ``parameters``: see :func:`parameters_of`.

    >>> watch = Watch(Choice(), began_us=NEVER_US)
    >>> time_us, value = np.arange(100) * 60_000_000, np.append(np.sin(np.arange(99.0)), 9.0)
    >>> points = Points(np.full(100, 7, np.int32), time_us, value, np.zeros(100, np.int16))
    >>> [(told.start_us, told.severity.name) for told in watch.see(points, to_us=6_000_000_000).told]
    [(5940000000, 'LOW')]
    """

    def __init__(
        self, choice: Choice, began_us: int, most_series: int = MOST_SERIES, *, saved_us: int = NEVER_US
    ) -> None:
        self.choice = choice
        self.parameters = parameters_of(choice, most_series)
        self.began_us = began_us
        self._begins = saved_us == NEVER_US
        self._seen_to_us = began_us
        self._most_series = most_series
        self._lookout = Lookout(most_series)
        self._codec = Codec()
        self._saving = Saving(saved_us)
        self._open: dict[tuple[int, int], Anomaly] = {}
        self._start_us: dict[int, int] = {}
        self._lost: list[Anomaly] = []
        self._places = np.empty(0, np.int8)
        self._watched = 0
        self._without_room = 0

    @property
    def bytes_per_series(self) -> int:
        """How long what is stored of a series is."""
        return self._codec.bytes_per_series

    def leave_out(self, series: Int64) -> None:
        """Look at none of these series."""
        self._know(series)
        self._places[series] = _LEFT_OUT

    def is_new(self, series: Int64) -> Bools:
        """Tell of which series nothing is known."""
        self._know(series)
        new: Bools = self._places[series] == _UNKNOWN
        return new

    def restore(self, series: Int64, states: States) -> None:
        """Go on with what is stored of series."""
        self._know(series)
        self._admit(series)
        watched = self._places[series] == _WATCHED
        self._codec.decode(self._lookout, series[watched], states[watched])

    def look_again(self, points: Points) -> None:
        """Look at what was released before, by series, then time, and tell nothing.

        Detectors pass over readings that they have seen, which are no later than the last one.
        """
        self._look(points)

    def resume(self, episodes: Iterable[Anomaly], seen_to_us: int) -> None:
        """Go on with the episodes that are open, now that all before a time was looked at."""
        self._seen_to_us = seen_to_us
        self._saving.carry()
        stored = {anomaly.key: anomaly for anomaly in episodes}
        for episode in self._lookout.open():
            key = episode.series, episode.start_us
            self._open[key] = stored.pop(key) if key in stored else resumed(episode)
            self._start_us[episode.series] = episode.start_us
        self._lost = [anomaly.ended(anomaly.peak_us, State.FORGOTTEN) for anomaly in stored.values()]

    def see(self, points: Points, to_us: int) -> Sightings:
        """Look at what is released, by series, then time: with it all before ``to_us`` is."""
        points, seen = self._look(points)
        self._seen_to_us = max(self._seen_to_us, to_us)
        sightings = Sightings(watched=self._watched, without_room=self._without_room)
        for anomaly in self._lost:
            sightings.note(anomaly, tells=True)
        self._lost = []
        for row in np.flatnonzero(seen.findings.surprise >= NOTICE).tolist():
            self._surprise(points, seen, row, sightings)
        for episode in seen.ended:
            anomaly = self._open.pop((episode.series, episode.start_us))
            if self._start_us[episode.series] == episode.start_us:
                del self._start_us[episode.series]
            sightings.note(anomaly.ended(episode.end_us), tells=True)
        return sightings

    def due(self) -> Saved | None:
        """Return what is to be stored now, and take it for stored; None where nothing is."""
        series = self._saving.take(self._seen_to_us, self._watched)
        if series is None:
            return None
        begins, self._begins = self._begins, False
        states = self._codec.encode(self._lookout, series)
        all_to_us = self._saving.all_to_us(self._seen_to_us)
        return Saved(series, states, all_to_us, begins)

    def _surprise(self, points: Points, seen: Seen, row: int, sightings: Sightings) -> None:
        """Take in a reading with which an episode begins, or goes on."""
        series = int(points.series_id[row])
        before = None if seen.began[row] else self._open[series, self._start_us[series]]
        if before is None or seen.findings.surprise[row] > before.surprise:
            anomaly = worst(points, seen.findings, row, before)
            self._open[anomaly.key] = anomaly
            self._start_us[series] = anomaly.start_us
            sightings.note(anomaly, tells=before is None or anomaly.revision > before.revision)

    def _look(self, points: Points) -> tuple[Points, Seen]:
        """Return the readings of series that are watched, and what came of them."""
        starts = np.flatnonzero(np.diff(points.series_id, prepend=-1))
        series, first_us = points.series_id[starts].astype(np.int64), points.time_us[starts]
        self._know(series)
        self._admit(series)
        watched = self._places[series] == _WATCHED
        self._saving.note(series[watched], first_us[watched], len(points.time_us))
        if not watched.all():
            points = points.take(self._places[points.series_id] == _WATCHED)
        return points, self._lookout.update(points)

    def _know(self, series: Int64) -> None:
        most = int(series.max(initial=-1))
        if most >= len(self._places):
            more = max(most + 1, 2 * len(self._places), _SMALLEST) - len(self._places)
            self._places = np.append(self._places, np.full(more, _UNKNOWN, np.int8))

    def _admit(self, series: Int64) -> None:
        """Watch those that nothing is known of, as far as there is room."""
        new = series[self._places[series] == _UNKNOWN]
        room = self._most_series - self._watched
        self._places[new[:room]], self._places[new[room:]] = _WATCHED, _WITHOUT_ROOM
        self._watched += len(new[:room])
        self._without_room += len(new[room:])


def parameters_of(choice: Choice, most_series: int = MOST_SERIES) -> str:
    """Return what stands for all that decides what is found: others' memory is of no use where it differs.

    >>> len({parameters_of(Choice()), parameters_of(Choice(("debug.*",))), parameters_of(Choice(), 7)})
    3
    """
    said = repr((DESIGN, Codec().layout, choice.left_out, most_series))
    return blake2s(said.encode(), digest_size=8).hexdigest()
