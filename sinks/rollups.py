"""Keeps rollups exact: computes the buckets again that something late fell into.

One worker's thread does it at a time; the others find nothing to do. Whoever is killed leaves the marks
of what it had not committed.
"""

from __future__ import annotations

import logging
import threading

import psycopg

from sinks.timescale.refresh import refresh_some
from sinks.timescale.rollup_messages import NOTHING_TOLD, Told
from sinks.timescale.session import connect

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
TRY_AGAIN_S = 5.0


class RollupRefresher:
    """A thread that computes the dirty buckets of one database again."""

    def __init__(self, dsn: str, owner: str, told: Told = NOTHING_TOLD) -> None:
        self._dsn = dsn
        self._owner = f"rollups/{owner}"
        self._told = told
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
                if not refresh_some(session, told=self._told):
                    self._said = ""
                    self._stop.wait(LOOK_EVERY_S)

    def _say(self, words: str) -> None:
        if words != self._said:
            log.warning("%s", words)
            self._said = words
