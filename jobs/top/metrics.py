"""Reads the last minute of the series back from TimescaleDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

SLOT_S = 2
SLOTS = 30
"""The last minute as a sparkline: 30 bars of two seconds."""

MAX_SERIES = 1000
_TIMEOUT_MS = 5000

_LIVE_SERIES = """
    SELECT s.series_id, s.tenant, s.source, s.metric, s.unit
    FROM series AS s
    WHERE (%(tenant)s::text IS NULL OR s.tenant = %(tenant)s)
      AND concat(s.source, ' ', s.metric) ILIKE %(like)s
      AND EXISTS (
          SELECT FROM readings AS r
          WHERE r.series_id = s.series_id AND r.ts > now() - INTERVAL '1 minute'
      )
    ORDER BY s.source, s.metric, s.tenant
    LIMIT %(most)s
"""

# Slots are counted from 1970, so that a bar stays what it is while the graph moves on.
_LAST_MINUTE = """
    SELECT r.series_id, r.slot, count(*), sum(r.value), min(r.value), max(r.value), last(r.value, r.ts)
    FROM unnest(%(ids)s::integer[]) AS shown (series_id)
    CROSS JOIN LATERAL (
        SELECT series_id, ts, value, floor(extract(epoch FROM ts) / %(slot_s)s)::bigint AS slot
        FROM readings
        WHERE series_id = shown.series_id
          AND ts > now() - INTERVAL '1 minute' AND ts <= now() + INTERVAL '5 seconds'
          AND abs(value) < 'infinity'
    ) AS r
    GROUP BY r.series_id, r.slot
    ORDER BY r.series_id, r.slot
"""


class Series(NamedTuple):
    """A series that had readings within the last minute."""

    series_id: int
    tenant: str
    source: str
    metric: str
    unit: str | None


class Slot(NamedTuple):
    """The readings of one series within ``SLOT_S`` seconds; ``number`` counts slots since 1970."""

    number: int
    readings: int
    total: float
    low: float
    high: float
    last: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the view: a series, its latest value, and its last minute."""

    series: Series
    now: float
    low: float
    mean: float
    high: float
    bars: tuple[float | None, ...]


def row(series: Series, slots: Sequence[Slot], last_slot: int) -> Row | None:
    """Return the line of a series from its slots in order, or None without any.

    ``last_slot`` is the number of the newest bar, the same for all lines.

    >>> pump = Series(1, "default", "pump-1", "rpm", None)
    >>> row(pump, [Slot(9, 2, 6.0, 2.0, 4.0, 4.0), Slot(10, 1, 9.0, 9.0, 9.0, 9.0)], 10).mean
    5.0
    """
    if not slots:
        return None
    means = {slot.number: slot.total / slot.readings for slot in slots}
    return Row(
        series=series,
        now=slots[-1].last,
        low=min(slot.low for slot in slots),
        mean=sum(slot.total for slot in slots) / sum(slot.readings for slot in slots),
        high=max(slot.high for slot in slots),
        bars=tuple(means.get(number) for number in range(last_slot - SLOTS + 1, last_slot + 1)),
    )


def like_pattern(text: str) -> str:
    r"""Return the LIKE pattern of a user's filter: a part of ``source metric``, ``*`` for anything.

    >>> like_pattern("web*cpu_0")
    '%web%cpu\\_0%'
    """
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped.replace('*', '%')}%"


class MetricsReader:
    """Reads as an analyst does. Raises psycopg.OperationalError while the database is away."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def live_series(self, tenant: str | None, pattern: str) -> list[Series]:
        """Return the series with readings in the last minute, sorted, at most ``MAX_SERIES``."""
        found = self.query(
            _LIVE_SERIES, {"tenant": tenant, "like": like_pattern(pattern), "most": MAX_SERIES}
        )
        return [Series(*each) for each in found]

    def rows(self, series: Sequence[Series]) -> list[Row]:
        """Return the last minute of these series, in their order."""
        slots: dict[int, list[Slot]] = {each.series_id: [] for each in series}
        for series_id, *slot in self.query(_LAST_MINUTE, {"ids": list(slots), "slot_s": SLOT_S}):
            slots[series_id].append(Slot(*slot))
        last_slot = max((found[-1].number for found in slots.values() if found), default=0)
        rows = (row(each, slots[each.series_id], last_slot) for each in series)
        return [each for each in rows if each is not None]

    def query(self, statement: str, parameters: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement, connecting again where the connection was lost."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._dsn,
                autocommit=True,
                connect_timeout=3,
                application_name="streamgauge top",
                options=f"-c statement_timeout={_TIMEOUT_MS}",
            )
        return self._connection.execute(statement.encode(), parameters).fetchall()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
