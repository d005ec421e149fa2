"""Watches how far each partition is stored, and so how long it takes to recover."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import psycopg

LOOK_EVERY_S = 0.03
_PROGRESS = "SELECT partition, next_offset FROM progress WHERE topic = %s"


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment, and what was acknowledged then: it is recovered from when all of that is stored."""

    at: float
    ends: dict[int, int]


class Watch:
    """Looks at table ``progress`` all the while, by a connection that it opens again when it is lost."""

    def __init__(self, dsn: str, topic: str) -> None:
        self.stored: dict[int, int] = {}
        self.acknowledged: dict[int, int] = {}
        self.recovered_s: list[float] = []
        self._dsn = dsn
        self._topic = topic
        self._marks: list[Mark] = []
        self._guard = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def note(self, partition: int, offset: int) -> None:
        """Take in that Kafka has a message."""
        with self._guard:
            self.acknowledged[partition] = max(offset + 1, self.acknowledged.get(partition, 0))

    def begin_anew(self) -> None:
        """Forget what is acknowledged: the topic is another one."""
        with self._guard:
            self.acknowledged.clear()
            self._marks.clear()

    def mark(self) -> None:
        """Begin to measure how long it takes until what is acknowledged now is stored."""
        with self._guard:
            self._marks.append(Mark(time.monotonic(), dict(self.acknowledged)))

    def all_stored(self) -> bool:
        """Tell whether all that is acknowledged is stored."""
        with self._guard:
            return _reached(self.stored, self.acknowledged)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(psycopg.Error), self._connect() as session:
                while not self._over.wait(LOOK_EVERY_S):
                    self._settle(dict(session.execute(_PROGRESS, (self._topic,)).fetchall()))
            self._over.wait(LOOK_EVERY_S)

    def _connect(self) -> psycopg.Connection[Any]:
        options = "-c statement_timeout=2000"
        return psycopg.connect(self._dsn, autocommit=True, connect_timeout=2, options=options)

    def _settle(self, stored: dict[int, int]) -> None:
        now = time.monotonic()
        with self._guard:
            self.stored = stored
            reached = [mark for mark in self._marks if _reached(stored, mark.ends)]
            self._marks = [mark for mark in self._marks if mark not in reached]
            self.recovered_s += [now - mark.at for mark in reached]


def _reached(stored: Mapping[int, int], ends: Mapping[int, int]) -> bool:
    return all(stored.get(partition, 0) >= end for partition, end in ends.items())
