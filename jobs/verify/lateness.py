"""Which readings are late, by the rules alone: reading by reading, without the stage that it checks."""

from __future__ import annotations

from streams.core.producers import COMPUTES
from streams.core.validate import LATEST_US
from streams.core.watermark import Patience

CELL_MS = 1000
MINUTE_US = 60_000_000


class LogTime:
    """How far event time has come in a partition, as its log is read.

    It remembers when each producer was heard of last, and its highest event time, until it is idle.
    """

    def __init__(self, patience: Patience) -> None:
        self.watermark_us: int | None = None
        self._patience = patience
        self._clock_ms: int | None = None
        self._heard: dict[tuple[str, str], tuple[int, int]] = {}

    def see(self, producer: tuple[str, str], stamp_ms: int, time_us: int) -> int:
        """Take the next reading in, and return by how much it is late: by nothing, or less, if it is not.

        >>> time = LogTime(Patience(lateness_us=0))
        >>> [time.see(("default", ""), stamp, at) for stamp, at in [(1000, 500), (2000, 400), (3000, 500)]]
        [-1, 100, 0]
        """
        stamp_ms = min(max(stamp_ms, 0), LATEST_US // 1000)
        before_ms = stamp_ms if self._clock_ms is None else self._clock_ms
        if stamp_ms < before_ms - self._patience.idle_ms:
            self._heard.clear()
            self._clock_ms = stamp_ms
        else:
            self._clock_ms = max(before_ms, stamp_ms)
        if self._clock_ms // CELL_MS != before_ms // CELL_MS:
            self._move(self._clock_ms // CELL_MS * CELL_MS)
        high_us, _ = self._heard.get(producer, (time_us, 0))
        self._heard[producer] = max(high_us, time_us), self._clock_ms
        return -1 if self.watermark_us is None else self.watermark_us - time_us

    def _move(self, now_ms: int) -> None:
        active = {
            producer: (high_us, last_ms)
            for producer, (high_us, last_ms) in self._heard.items()
            if now_ms - last_ms <= self._patience.idle_ms
        }
        # What is computed of what was released is waited for only where nobody else sends anything.
        vouching = {each for each in self._heard if not each[1].startswith(COMPUTES)} or self._heard.keys()
        counted = [active[each] for each in active if each in vouching]
        counted = counted or [self._heard[each] for each in vouching]
        reached_us = [min(high_us, now_ms * 1000) for high_us, _ in counted]
        self._heard = active
        if reached_us:
            furthest_us = max(reached_us)
            slowest_us = min(each for each in reached_us if furthest_us - each <= self._patience.lag_us)
            passed_us = slowest_us - self._patience.lateness_us
            if self.watermark_us is None or passed_us > self.watermark_us:
                self.watermark_us = passed_us
