"""How far event time has come in a partition: what is earlier is waited for no longer.

Each producer vouches that nothing much earlier will come than the latest it has sent; the watermark is
what all of them vouch for, less the lateness that is allowed. It is a function of the log alone. Its
clock is the highest Kafka timestamp so far, and it moves only where that enters another second, by all
that came before: so it does not matter how the log is cut into chunks and flushes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from streams.core.batch import NEVER_US, Bools, Int32, Int64
from streams.core.validate import LATEST_US

CELL_MS = 1000
"""The watermark moves where the log's clock enters another of these."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for whom; the defaults are those of the settings.

    ``lateness_us``: how much earlier than its latest a producer's readings may be. ``idle_ms``: a
    producer that sends nothing for so long, by the log's clock, is not waited for. ``lag_us``: nor is
    one that is so far behind the others.
    """

    lateness_us: int = 10_000_000
    idle_ms: int = 60_000
    lag_us: int = 300_000_000


class Heard(NamedTuple):
    """When a producer was heard of last, by the log's clock, and its highest event time.

    ``high_us`` is None of one that is not waited for any more. ``era``: see :class:`Watermark`.
    """

    last_ms: int
    high_us: int | None
    era: int


class Watermark:
    """The watermark of one partition after a part of its log, and the producers that it waits for.

    ``clock_ms`` is the log's clock, None before the first reading. Should it be set back by more than
    producers may be idle, it begins anew, ``era`` rises by one, and producers are forgotten. A producer
    counts with its highest event time, or the clock where it is ahead of that, so that nobody's
    future is everybody's. Where all are idle all count once more, and are forgotten then. Those of
    ``computing`` send what is computed of what was released, which a watermark that waited for them would
    wait for: they count only where there is nobody else. The watermark never falls.

    >>> watermark = Watermark(Patience(lateness_us=5))
    >>> producer, time_us = np.array([0, 0]), np.array([7, 20])
    >>> watermark, of_each = watermark.after(producer, time_us, stamp_ms=np.array([1000, 2000]))
    >>> of_each.tolist() == [NEVER_US, 7 - 5], watermark.us
    (True, 2)
    """

    def __init__(
        self, patience: Patience, clock_ms: int | None = None, era: int = 0, us: int = NEVER_US
    ) -> None:
        self.clock_ms = clock_ms
        self.era = era
        self.us = us
        self.computing: Sequence[int] = ()
        self._patience = patience
        self._high_us = np.empty(0, np.int64)
        self._last_ms = np.empty(0, np.int64)

    def restore(self, producer: int, heard: Heard) -> None:
        """Go on with what is stored of a producer, unless it is not waited for any more."""
        self._grow(producer)
        self._last_ms[producer] = heard.last_ms
        is_old = self.clock_ms is not None and heard.last_ms < self._idle_before_ms(self.clock_ms)
        if heard.high_us is not None and heard.era == self.era and not is_old:
            self._high_us[producer] = heard.high_us

    def heard(self, producers: Int64) -> list[Heard]:
        """Return what is to be stored of each of some producers."""
        lasts_ms, highs_us = self._last_ms[producers].tolist(), self._high_us[producers].tolist()
        return [
            Heard(last_ms, None if high_us == NEVER_US else high_us, self.era)
            for last_ms, high_us in zip(lasts_ms, highs_us, strict=True)
        ]

    def after(self, producer: Int32, time_us: Int64, stamp_ms: Int64) -> tuple[Watermark, Int64]:
        """Return the watermark after some more readings, in log order, and that of each of them."""
        if not len(time_us):
            return self, np.empty(0, np.int64)
        after = self._copy(int(producer.max()))
        # Where producers stamp their records, a stamp may be any number.
        stamp_ms = np.clip(stamp_ms, 0, LATEST_US // 1000)
        before_ms = int(stamp_ms[0]) if self.clock_ms is None else self.clock_ms
        clock_ms, begins_anew = _clock(before_ms, stamp_ms, self._patience.idle_ms)
        cells = clock_ms // CELL_MS
        enters = begins_anew | (cells != np.append(before_ms // CELL_MS, cells[:-1]))
        places = np.flatnonzero(enters).tolist()
        bounds = [*([] if enters[0] else [0]), *places, len(time_us)]
        marks = []
        for start, end in pairwise(bounds):
            if begins_anew[start]:
                after._begin_anew()
            if enters[start]:
                after._enter(int(clock_ms[start]))
            marks.append(after.us)
            np.maximum.at(after._high_us, producer[start:end], time_us[start:end])
            # The clock does not fall here, and of several assignments the last one counts.
            after._last_ms[producer[start:end]] = clock_ms[start:end]
        after.clock_ms = int(clock_ms[-1])
        return after, np.repeat(np.array(marks), np.diff(bounds))

    def _enter(self, clock_ms: int) -> None:
        """Move the watermark to where everything before a new cell of the clock lets it go."""
        known = self._high_us != NEVER_US
        idle = self._last_ms < self._idle_before_ms(clock_ms)
        vouching = known.copy()
        vouching[[number for number in self.computing if number < len(known)]] = False
        if not vouching.any():
            vouching = known
        waited_for = vouching & ~idle
        if not waited_for.any():
            waited_for = vouching
        reached_us = np.minimum(self._high_us[waited_for], _cell_start_ms(clock_ms) * 1000)
        if len(reached_us):
            counted_us = reached_us[reached_us >= reached_us.max() - self._patience.lag_us]
            self.us = max(self.us, int(counted_us.min()) - self._patience.lateness_us)
        self._high_us[idle] = NEVER_US

    def _begin_anew(self) -> None:
        self.era += 1
        self._high_us[:] = NEVER_US

    def _idle_before_ms(self, clock_ms: int) -> int:
        return _cell_start_ms(clock_ms) - self._patience.idle_ms

    def _copy(self, producer: int) -> Watermark:
        copy = Watermark(self._patience, self.clock_ms, self.era, self.us)
        copy.computing = self.computing
        copy._high_us, copy._last_ms = self._high_us.copy(), self._last_ms.copy()
        copy._grow(producer)
        return copy

    def _grow(self, producer: int) -> None:
        if producer >= len(self._high_us):
            more = max(producer + 1, 2 * len(self._high_us)) - len(self._high_us)
            self._high_us = np.append(self._high_us, np.full(more, NEVER_US))
            self._last_ms = np.append(self._last_ms, np.zeros(more, np.int64))


def _cell_start_ms(clock_ms: int) -> int:
    return clock_ms // CELL_MS * CELL_MS


def _clock(before_ms: int, stamp_ms: Int64, idle_ms: int) -> tuple[Int64, Bools]:
    """Return the log's clock at each reading, and where it begins anew."""
    clock_ms = np.maximum.accumulate(np.append(before_ms, stamp_ms))
    if (stamp_ms >= clock_ms[:-1] - idle_ms).all():
        return clock_ms[1:], np.zeros(len(stamp_ms), bool)
    begins_anew = np.zeros(len(stamp_ms), bool)
    now_ms = before_ms
    for row, stamp in enumerate(stamp_ms.tolist()):
        begins_anew[row] = stamp < now_ms - idle_ms
        now_ms = stamp if begins_anew[row] else max(now_ms, stamp)
        clock_ms[row + 1] = now_ms
    return clock_ms[1:], begins_anew
