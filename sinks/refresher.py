"""Keeps rollups exact: computes the buckets again that something late fell into.

One worker's thread does it at a time; the others find nothing to do. Whoever is killed leaves the marks
of what it had not committed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

import psycopg

from sinks.timescale.refresh import Refreshed, RollupState, read_state, refresh_some
from sinks.timescale.rollup_messages import NOTHING_TOLD, Told
from sinks.timescale.session import Connection, connect

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
TRY_AGAIN_S = 5.0
TELL_EVERY_S = 5.0
"""How often it is told what waits."""


class RollupRefresher:
    """A thread that computes the dirty buckets of one database again.

    ``count`` is told what it did, and ``tell`` every few seconds what waits, also by those that stand by.
    """

    def __init__(
        self,
        dsn: str,
        owner: str,
        told: Told = NOTHING_TOLD,
        *,
        count: Callable[[Sequence[Refreshed]], None] = lambda _: None,
        tell: Callable[[RollupState], None] = lambda _: None,
    ) -> None:
        self._dsn = dsn
        self._owner = f"rollups/{owner}"
        self._told = told
        self._count = count
        self._tell = tell
        self._tell_at = 0.0
        self._said = ""
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
            except psycopg.Error as problem:
                self._say(f"Dirty rollups wait: {' '.join(str(problem).split())}")
                self._stop.wait(TRY_AGAIN_S)

    def _refresh(self) -> None:
        with connect(self._dsn, self._owner) as session:
            while not self._stop.is_set():
                self._look(session)
                done = refresh_some(session, told=self._told)
                self._count(done)
                self._said = ""
                if given_up := sum(each.given_up for each in done):
                    log.warning(
                        "Rollups of %s marked minutes stay as they are, without what was late:"
                        " readings of their days may be dropped",
                        f"{given_up:,}",
                    )
                if not done:
                    self._stop.wait(LOOK_EVERY_S)

    def _look(self, session: Connection) -> None:
        now = time.monotonic()
        if now >= self._tell_at:
            self._tell_at = now + TELL_EVERY_S
            self._tell(read_state(session))

    def _say(self, words: str) -> None:
        if words != self._said:
            log.warning("%s", words)
            self._said = words
