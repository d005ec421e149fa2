"""Reads one screen after the other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import psycopg

from jobs.top.health import Health, HealthWatch
from jobs.top.metrics import MetricsReader, Series
from jobs.top.view import Screen

SERIES_EVERY_S = 5.0
"""Which series live is asked this often; their values are asked for every screen."""


class Watch:
    """Keeps what is slow to find out between screens."""

    def __init__(
        self,
        metrics: MetricsReader,
        health: HealthWatch,
        *,
        tenant: str | None,
        pattern: str,
        clock: Callable[[], datetime],
        monotonic_s: Callable[[], float],
        outbox_warn_s: float = 60.0,
    ) -> None:
        self._metrics = metrics
        self._health = health
        self._tenant = tenant
        self._pattern = pattern
        self._clock = clock
        self._monotonic_s = monotonic_s
        self._outbox_warn_s = outbox_warn_s
        self._series: list[Series] = []
        self._asked_s: float | None = None

    def read(self, most: int) -> Screen:
        """Return the screen of now with at most so many metrics.

        Raises psycopg.OperationalError while the database is away.
        """
        health = self._health.read()
        now_s = self._monotonic_s()
        if not self._series or self._asked_s is None or now_s - self._asked_s >= SERIES_EVERY_S:
            self._series = self._metrics.live_series(self._tenant, self._pattern)
            self._asked_s = now_s
        rows = self._metrics.rows(self._series[:most])
        return Screen(self._clock(), health, rows, len(self._series), trouble(health, self._outbox_warn_s))

    def try_read(self, most: int, former: Screen) -> Screen:
        """Return the screen of now; while the database is away, ``former`` with that said."""
        try:
            return self.read(most)
        except psycopg.Error as error:
            said = str(error).strip().splitlines() or [type(error).__name__]
            return Screen(
                self._clock(), former.health, former.rows, former.series, (f"TimescaleDB: {said[0]}",)
            )


def trouble(health: Health, outbox_warn_s: float) -> tuple[str, ...]:
    """Return what needs somebody's attention, a sentence each."""
    said = [f"partition {number} is halted: {why}" for number, why in sorted(health.halted.items())]
    if health.lag is None:
        said.append("Kafka does not answer: streamgauge doctor")
    return (*said, *health.outbox.trouble(outbox_warn_s), *health.anomalies)
