"""Rules with episodes of their own: a detector's statistic, told of where it is far beyond its record."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streams.core.batch import Bools, Int64
from streams.core.detect.bursts import Bursts
from streams.core.detect.episodes import Episode
from streams.core.detect.flapping import Flapping
from streams.core.detect.flat_line import FlatLine
from streams.core.detect.memory import Parts, Rows
from streams.core.detect.new_state import NewState
from streams.core.detect.pauses import Pauses
from streams.core.detect.records import Records
from streams.core.detect.resets import Resets
from streams.core.detect.rules import Rule
from streams.core.detect.stretch import Stretch
from streams.core.detect.turns import turns


class RuleKind(NamedTuple):
    """What a rule goes by: episodes are of statistics ``times`` the record, and of no less than ``least``."""

    rule: Rule
    name: str
    signal: str
    times: float
    least: float


RULED = (
    RuleKind(Rule.STUCK, FlatLine.name, "value", 2.0, 16.0),
    RuleKind(Rule.SILENCE, "silence", "seconds", 3.0, 300.0),
    RuleKind(Rule.RESETS, Resets.name, "falls in an hour", 2.0, 2.5),
    RuleKind(Rule.NEW_STATE, NewState.name, "value", 2.0, 100.0),
    RuleKind(Rule.FLAPPING, Flapping.name, "changes in an hour", 2.0, 6.0),
)


class Ruled(Parts):
    """One rule of many series. ``reason`` is that of its episodes."""

    def __init__(self, kind: RuleKind, reason: int) -> None:
        self.kind = kind
        self._detector = _detector(kind.rule)
        self._records = Records(kind.times, kind.least, reason)
        super().__init__({"detector": self._detector, "records": self._records})

    def update(self, stretch: Stretch, series: Int64, ready: Bools) -> tuple[list[Episode], list[Episode]]:
        """Take in readings; return which episodes began, as they were then, and which are over.

        ``series`` names those of the stretch; ``ready`` tells of which readings episodes may be told.
        """
        rows, begun, ended = stretch.rows, list[Episode](), list[Episode]()
        calm = self._detector.pass_over(stretch, self._records.calm(rows), self._records.usual(rows))
        places = stretch.chosen(~calm)
        for _, turn in turns(stretch.of[places]):
            readings = places[turn]
            of = stretch.of[readings]
            at, time_us, value = rows[of], stretch.time_us[readings], stretch.value[readings]
            statistic = self._detector.measure(at, time_us, value[:, None]).statistic[:, 0]
            since_us = self._detector.since_us(at)
            told = self._records.update(at, series[of], time_us, statistic, since_us, ready[readings])
            begun += self._records.open_of(at[told.began])
            ended += told.ended
        return begun, ended

    def overdue(self, rows: Rows, series: Int64, now_us: int, ready: Bools) -> list[Episode]:
        """Return the episodes of series that began because nothing came by a time; of silence alone."""
        if not isinstance(self._detector, Pauses):
            return []
        pause_s = self._detector.lasting(rows, now_us)
        some = np.flatnonzero(pause_s >= self._records.limits(rows))
        at, times_us = rows[some], np.full(len(some), now_us)
        since_us = self._detector.heard_us(at)
        told = self._records.update(at, series[some], times_us, pause_s[some], since_us, ready[some])
        return self._records.open_of(at[told.began])

    def open_of(self, rows: Rows) -> list[Episode]:
        """Return the episodes of some series that are not over."""
        return self._records.open_of(rows)

    def open(self) -> list[Episode]:
        """Return all episodes that are not over."""
        return self._records.open()


def _detector(rule: Rule) -> FlatLine | Pauses | Bursts | NewState:
    if rule is Rule.SILENCE:
        return Pauses()
    kinds: dict[Rule, type[FlatLine | Bursts | NewState]] = {
        Rule.STUCK: FlatLine,
        Rule.RESETS: Resets,
        Rule.NEW_STATE: NewState,
        Rule.FLAPPING: Flapping,
    }
    return kinds[rule](calibrated=False)
