"""Keeps rollups exact: computes the buckets again that something late fell into, and what is derived of them.

One worker's thread does it at a time; the others find nothing to do. Whoever is killed leaves the marks
of what it had not committed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import psycopg

from sinks.timescale.derived import Derived
from sinks.timescale.refresh import BATCH, Refreshed, RollupState, read_state, refresh_some
from sinks.timescale.rollup_messages import NOTHING_TOLD, Told
from sinks.timescale.session import Connection, connect

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
TRY_AGAIN_S = 5.0
TELL_EVERY_S = 5.0
"""How often it is told what waits."""

FIRST_MARKS = 1_000
SOON_S, LONG_S = 0.5, 2.0
"""A transaction that takes less, or more, was of too few marks, or of too many."""


class Pace:
    """How many marks are taken at once: a mark stands for one reading or for a million.

    >>> pace = Pace()
    >>> pace.took(0.1, marks=1000)
    >>> pace.took(5.0, marks=2000)
    >>> pace.failed()
    >>> pace.marks
    500
    """

    def __init__(self) -> None:
        self.marks = FIRST_MARKS

    def took(self, seconds: float, marks: int) -> None:
        """Take in how long some marks took."""
        if seconds > LONG_S:
            self.failed()
        elif seconds < SOON_S and marks >= self.marks:
            self.marks = min(2 * self.marks, BATCH)

    def failed(self) -> None:
        """Take fewer."""
        self.marks = max(1, self.marks // 2)


class RollupRefresher:
    """A thread that computes the dirty buckets of one database again.

    ``derive`` computes derived metrics. ``count`` is told what was done, ``fail`` of each time it could not
    be, and ``tell`` every few seconds what waits, also by those that stand by. Whatever fails is tried again,
    rollups with half of the marks.
    """

    def __init__(
        self,
        dsn: str,
        owner: str,
        told: Told = NOTHING_TOLD,
        *,
        derive: Callable[[Connection], Sequence[Derived]] = lambda _: (),
        count: Callable[[Sequence[Refreshed]], None] = lambda _: None,
        fail: Callable[[], None] = lambda: None,
        tell: Callable[[RollupState], None] = lambda _: None,
    ) -> None:
        self._dsn = dsn
        self._owner = f"rollups/{owner}"
        self._told = told
        self._derive = derive
        self._count = count
        self._fail = fail
        self._tell = tell
        self._tell_at = 0.0
        self._said = ""
        self._pace = Pace()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="rollup-refresher", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End after the batch in hand or ``timeout_s``; what is left is for the next refresher."""
        self._stop.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._refresh()
            except Exception as problem:  # of any kind: without this thread nothing late is ever taken in
                self._fail()
                self._say(problem)
                self._stop.wait(TRY_AGAIN_S)

    def _refresh(self) -> None:
        with connect(self._dsn, self._owner) as session:
            while not self._stop.is_set():
                self._look(session)
                began = time.monotonic()
                done = self._refresh_some(session)
                self._pace.took(time.monotonic() - began, done[0].marks if done else 0)
                self._count(done)
                self._said = ""
                if given_up := sum(each.given_up for each in done):
                    log.warning(
                        "Rollups of %s marked minutes stay as they are, without what was late:"
                        " readings of their days may be dropped",
                        f"{given_up:,}",
                    )
                derived = self._derive(session)
                self._count([Refreshed("derived", each.buckets, each.told) for each in derived])
                if not done and not derived:
                    self._stop.wait(LOOK_EVERY_S)

    def _refresh_some(self, session: Connection) -> list[Refreshed]:
        try:
            return refresh_some(session, self._pace.marks, self._told)
        except Exception:
            self._pace.failed()
            raise

    def _look(self, session: Connection) -> None:
        now = time.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + TELL_EVERY_S
            self._tell(read_state(session))

    def _say(self, problem: Exception) -> None:
        words = f"Dirty rollups wait: {' '.join(str(problem).split()) or type(problem).__name__}"
        if words != self._said:
            log.warning("%s", words, exc_info=None if isinstance(problem, psycopg.Error) else problem)
            self._said = words
