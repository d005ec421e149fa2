"""A database as months of a fleet leave it, filled fast: readings, and what flushes make of them.

Each slice of time is released and closed as a worker does it, by the same code, and stored as it lies after
a live load: in the order of time. Nothing goes through Kafka.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import psycopg
from psycopg.sql import SQL, Identifier

from jobs.benchmark.rounds import Say
from jobs.scratch import as_writer
from schemas.encode import GOOD
from sinks.protocols import Partition
from sinks.timescale.copy import READINGS, copy_rows, encode_readings
from sinks.timescale.rollups import copy_closed, read_levels
from sinks.timescale.session import Connection, connect
from sinks.timescale.times import timestamp
from streams.core.batch import Points
from streams.core.levels import DAY_US, MINUTE_US
from streams.core.rollup import Rollups

HOME = Partition("readings", 0)
END_US = 1_774_980_600_000_000
"""2026-03-31 18:10:00 UTC: the present of the fleet. Buckets of each level are open."""
RELEASED_US = END_US - 10_000_000

ASSETS = 250
"""Series of a site; the last site has those that are left."""
MACHINES = 4
OTHERS_EVERY_DAYS = 0.025
ROWS_A_SLICE = 40_000
REPORT_EVERY = 0.1


_SERIES = """
    INSERT INTO series (tenant, source, metric, attributes, home_topic, home_partition)
    SELECT 'default', CASE WHEN n <= %(machines)s THEN 'machine-' ELSE 'asset-' END || n, 'temperature',
           jsonb_build_object('unit', 'Cel', 'site', CASE
               WHEN n <= %(machines)s THEN 'machines' ELSE 'site-' || (n - %(machines)s - 1) / %(assets)s
           END), %(topic)s, %(partition)s
    FROM generate_series(1, %(series)s) AS n ORDER BY n
"""
_PROGRESS = """
    INSERT INTO progress (topic, partition, epoch, next_offset, owner, session, released_to)
    VALUES (%s, %s, 1, 0, 'benchmark', 'benchmark', %s)
"""


class Kind(NamedTuple):
    """Series that are alike: how many, for how many days before the end they report, and how often each."""

    series: int
    days: float
    readings: int

    @property
    def step_us(self) -> float:
        """Time between two readings of a series."""
        return self.days * DAY_US / self.readings


def kinds(rows: int, series: int) -> tuple[Kind, ...]:
    """Return what makes up a fleet: machines since 91 days, the first site since 30, all others since lately.

    Of 100 million readings of 50,000 series a machine has one a second, an asset of the site one in ten,
    and the others one each 36 minutes of a day; with less, the first are slower, and the others newer.

    >>> [(kind.series, kind.days, round(kind.step_us / 1e6, 1)) for kind in kinds(100_000_000, 50_000)]
    [(4, 91.0, 1.0), (250, 30.0, 9.7), (49746, 1.0, 2160.0)]
    """
    others = series - MACHINES - ASSETS
    machine, asset, other = (
        max(1, round(rows * share / count))
        for count, share in ((MACHINES, 0.3145), (ASSETS, 0.6655), (others, 0.02))
    )
    return (
        Kind(MACHINES, 91.0, machine),
        Kind(ASSETS, 30.0, asset),
        Kind(others, other * OTHERS_EVERY_DAYS, other),
    )


def fill(dsn: str, rows: int, series: int, say: Say) -> int:
    """Fill a migrated database, and return how many readings it has then: ``rows``, but for rounding."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        numbers = {"machines": MACHINES, "assets": ASSETS, "series": series}
        owner.execute(_SERIES, {**numbers, "topic": HOME.topic, "partition": HOME.number})
        owner.execute(_PROGRESS, (HOME.topic, HOME.number, timestamp(RELEASED_US)))
    with connect(as_writer(dsn), "benchmark") as session:
        stored = _store(session, kinds(rows, series), rows, say)
        levels = read_levels(session)
    say("vacuuming")
    with psycopg.connect(dsn, autocommit=True) as owner:
        for table in ("series", "readings", *(level.table for level in levels)):
            owner.execute(SQL("VACUUM (ANALYZE) {}").format(Identifier(table)))
    return stored


def _store(session: Connection, fleet: tuple[Kind, ...], rows: int, say: Say) -> int:
    rollups = Rollups([level.width_us for level in read_levels(session)])
    stored, told = 0, 0.0
    for points, to_us in slices(fleet, max(8, rows // ROWS_A_SLICE)):
        closing = rollups.close(points.take(points.time_us < RELEASED_US), min(to_us, RELEASED_US))
        in_time = points.take(np.argsort(points.time_us, kind="stable"))
        with session.transaction():
            copy_rows(session, READINGS, encode_readings(*in_time))
            copy_closed(session, [closing])
        rollups.apply(closing)
        stored += len(points.time_us)
        if stored / rows >= told + REPORT_EVERY:
            told = stored / rows
            say(f"{stored:,} of {rows:,} readings")
    return stored


def slices(fleet: tuple[Kind, ...], count: int) -> Iterator[tuple[Points, int]]:
    """Yield the readings of so many slices of time, by series, then time, and where each slice ends."""
    start_us = END_US - round(max(kind.days for kind in fleet) * DAY_US)
    bounds = np.linspace(start_us, END_US, count + 1).astype(np.int64).tolist()
    firsts = np.cumsum([1, *(kind.series for kind in fleet)]).tolist()
    for from_us, to_us in pairwise(bounds):
        parts = [_part(kind, first, from_us, to_us) for kind, first in zip(fleet, firsts, strict=False)]
        yield Points.concat(parts), to_us


def _part(kind: Kind, first: int, from_us: int, to_us: int) -> Points:
    """Return the readings of one kind of series in a slice. Each series has a phase of its own."""
    begin_us = END_US - round(kind.days * DAY_US)
    lowest = max(0, int((from_us - begin_us) / kind.step_us) - 1)
    highest = min(kind.readings, int((to_us - begin_us) / kind.step_us) + 1)
    number = np.arange(lowest, max(lowest, highest))
    phase = (np.arange(kind.series) * 0.618) % 1.0
    time_us = begin_us + ((number + phase[:, None]) * kind.step_us).astype(np.int64).ravel()
    series_id = np.repeat(np.arange(first, first + kind.series, dtype=np.int32), len(number))
    within = (time_us >= from_us) & (time_us < to_us)
    time_us, series_id = time_us[within], series_id[within]
    wave = 40 + 20 * np.sin(time_us * (2 * np.pi / DAY_US)) + series_id % 7 + (time_us // MINUTE_US % 5)
    return Points(series_id, time_us, wave, np.full(len(time_us), GOOD, np.int16))
