"""Which series are to be saved when: a few at a time, those first that were not saved for longest."""

from __future__ import annotations

import numpy as np

from streams.core.batch import NEVER_US, Int64

READ_BACK = 500_000
"""Each series is saved once in so many readings of its partition, which a claim looks at once more."""

READINGS_PER_ROW = 400
"""Or more often, while a series is saved for no fewer readings than this."""

ROWS_AT_ONCE = 32
LONGEST_US = 6 * 3600 * 1_000_000
"""Readings of a series that are not saved go back no longer, where that is possible."""

MOST_ROWS = 1_000
"""So many series are saved with one flush beyond what its readings pay for, at most."""

_SMALLEST = 1024


class Saving:
    """Remembers of each series from when on it is not saved.

    ``saved_us``: up to where all were saved before; ``NEVER_US`` where nothing ever was.

    >>> saving = Saving()
    >>> saving.note(np.array([7, 9]), np.array([50, 40]), readings=20_000)
    >>> saving.take(1, watched=2).tolist(), saving.take(60, watched=2), saving.all_to_us(60)
    ([9, 7], None, 60)
    """

    def __init__(self, saved_us: int = NEVER_US) -> None:
        self._unsaved_us = np.empty(0, np.int64)
        self._oldest_us = NEVER_US
        self._saved_us = saved_us
        self._new = 0
        self._carried = 0

    def note(self, series: Int64, first_us: Int64, readings: int) -> None:
        """Take in that some series, each once, have readings from a time on.

        ``readings`` are all of the partition, also of other series: a claim reads them, too.
        """
        self._new += readings
        if not len(series):
            return
        most = int(series.max())
        if most >= len(self._unsaved_us):
            more = max(most + 1, 2 * len(self._unsaved_us), _SMALLEST) - len(self._unsaved_us)
            self._unsaved_us = np.append(self._unsaved_us, np.full(more, NEVER_US))
        new = self._unsaved_us[series] == NEVER_US
        self._unsaved_us[series[new]] = first_us[new]
        if self._oldest_us == NEVER_US and new.any():
            self._oldest_us = int(first_us[new].min())

    def carry(self) -> None:
        """Have what was noted so far be paid off over the next flushes, not by the next one alone."""
        self._carried, self._new = self._carried + self._new, 0

    def all_to_us(self, seen_to_us: int) -> int:
        """Return up to where all series are saved, of which all readings before a time were seen."""
        return seen_to_us if self._oldest_us == NEVER_US else self._oldest_us

    def take(self, seen_to_us: int, watched: int) -> Int64 | None:
        """Return the series to save now, and take them for saved; None where it is not time yet.

        There may be none: then it is time to note up to where all are saved, so that a claim reads no more.
        """
        per_row = max(1, min(READINGS_PER_ROW, READ_BACK // max(watched, 1)))
        readings, old_us = self._carried + self._new, seen_to_us - LONGEST_US
        if readings < ROWS_AT_ONCE * per_row and self._saved_us >= old_us:
            return None
        unsaved = np.flatnonzero(self._unsaved_us != NEVER_US)
        since_us = self._unsaved_us[unsaved]
        rows = max(readings // per_row, int(np.count_nonzero(since_us < old_us)))
        rows = min(rows, self._new // per_row + MOST_ROWS)
        order = np.argsort(since_us, kind="stable")
        taken, left = unsaved[order[:rows]], since_us[order[rows:]]
        self._carried, self._new = max(readings - rows * per_row, 0) if len(left) else 0, 0
        self._unsaved_us[taken] = NEVER_US
        self._oldest_us = int(left[0]) if len(left) else NEVER_US
        self._saved_us = self.all_to_us(seen_to_us)
        return taken
