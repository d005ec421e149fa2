"""Flat line: a sensor that is stuck repeats itself longer than it ever did."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from streams.core.batch import NEVER_US, Bools, Float64, Int64
from streams.core.detect.detector import Detector, Measured
from streams.core.detect.memory import Field, Rows
from streams.core.detect.stretch import Stretch

CHANGES = 16
"""A signal that changed less often than this may be constant by nature: it is not judged."""

READINGS_A_CHANGE = 8
"""Nor is one that has more readings to a change: most of its time it repeats itself."""


class FlatLine(Detector):
    """Counts repetitions of exactly the same value.

    ``statistic`` is their number; it has no direction. ``expected`` is the value, ``band`` is 0.

    >>> detector = FlatLine()
    >>> detector.grow(1)
    >>> for time_us, value in enumerate([*range(20), 7.0, 7.0, 7.0]):
    ...     scores = detector.update(np.array([0]), np.array([time_us]), np.array([[value]]))
    >>> float(scores.statistic[0, 0]), detector.since_us(np.array([0])).tolist()
    (2.0, [20])
    """

    name = "flat_line"
    lowest = 0.5

    def _fields(self) -> Mapping[str, Field]:
        return {
            "before": Field((self.columns,), np.float64, np.nan),
            "run": Field((self.columns,), np.int64),
            "changes": Field((self.columns,), np.int64, -1),
            "moving": Field((self.columns,), np.int64),
            "changed_us": Field((), np.int64, NEVER_US),
        }

    def since_us(self, rows: Rows) -> Int64:
        """Return when any signal of some series changed last."""
        changed_us: Int64 = self._state["changed_us"][rows]
        return changed_us

    def pass_over(self, stretch: Stretch, calm: Bools, most: Float64) -> Bools:
        """Take in all readings of the ``calm`` series that have no longer runs, and tell which those are."""
        state, rows, starts = self._state, stretch.rows, stretch.starts
        changed = stretch.value != stretch.before(state["before"][rows, 0])
        # Where the run of each reading began: before the stretch, or in it. Series are kept apart, or
        # the last change of one would be taken for one of the next.
        begun = starts - 1 - state["run"][rows, 0]
        apart = (np.arange(len(rows)) * (2 * len(changed) + int(state["run"][rows].max(initial=0))))[
            stretch.of
        ]
        place = np.arange(len(changed))
        last = np.maximum.accumulate(np.where(changed, place, begun[stretch.of]) + apart) - apart
        run = place - last
        calm = calm & ~stretch.any(run > most[stretch.of])
        at, ends = rows[calm], stretch.ends[calm]
        some = stretch.any(changed)[calm]
        state["moving"][at[some], 0] += state["run"][at[some], 0] + (last[ends] - starts[calm] + 1)[some]
        state["changed_us"][at[some]] = stretch.time_us[last[ends][some]]
        state["changes"][at, 0] += np.bincount(stretch.of[changed], minlength=len(rows))[calm]
        state["before"][at, 0], state["run"][at, 0] = stretch.value[ends], run[ends]
        return calm

    def _measure(self, rows: Rows, time_us: Int64, signals: Float64) -> Measured:
        state = self._state
        same = signals == state["before"][rows]
        run = np.where(same, state["run"][rows] + 1, 0)
        changes = state["changes"][rows] + ~same
        moving = state["moving"][rows] + np.where(same, 0, state["run"][rows] + 1)
        changed = ~same.all(axis=1)
        state["changed_us"][rows[changed]] = time_us[changed]
        state["before"][rows], state["run"][rows] = signals, run
        state["changes"][rows], state["moving"][rows] = changes, moving
        judged = (changes >= CHANGES) & (moving <= READINGS_A_CHANGE * changes)
        return Measured(np.where(judged, run, 0).astype(np.float64), signals, np.zeros_like(signals))
