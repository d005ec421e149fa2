"""Brings readings of the archive back, each once: what is stored of them stays as it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import numpy as np

from jobs.archive.chunks import Connection
from jobs.archive.manifest import Entry, check_file, hold_file
from jobs.archive.parquet import Readings, read_names, read_readings
from jobs.archive.target import ArchiveError, Target
from sinks.protocols import Partition
from sinks.timescale.copy import FLAGGED_READINGS, copy_rows, encode_readings
from sinks.timescale.history import DatabaseHistory, kept_from_us, load_floors
from streams.core.batch import Bools

NOBODY = Partition("", 0)
"""Looked up is by series and time; whose they are plays no part in it."""

_SERIES = """
    SELECT s.source, s.metric, s.series_id
    FROM unnest(%s::text[], %s::text[]) AS asked (source, metric)
    JOIN series AS s ON s.source = asked.source AND s.metric = asked.metric AND s.tenant = %s
"""


class Restored(NamedTuple):
    """What came of the readings of a file: stored, known already, or not given up and so left to workers."""

    restored: int = 0
    known: int = 0
    not_given_up: int = 0


def restore(
    session: Connection,
    target: Target,
    file: Entry,
    until: datetime,
) -> Restored:
    """Store the readings of a file again, and keep them until a time at least.

    Only such as are given up: of others workers know the identities, and are not told. No rollup
    changes by it. It may be ended at any moment and begun again. Raises ArchiveError, ``psycopg.Error``.
    """
    check_file(target, file)
    numbers = _numbers(session, target, file)
    hold_file(session, file, until)
    history = DatabaseHistory(lambda: session, NOBODY)
    restored = known = not_given_up = 0
    for readings in _groups(target, file, numbers):
        with session.transaction():
            given_up = _given_up(session, readings)
            asked = readings[given_up]
            stored = history.stored(asked["series_id"].astype(np.int64), asked["time_us"].copy()).found
            columns = ("series_id", "time_us", "value", "quality", "late")
            rows = encode_readings(*(asked[name][~stored] for name in columns))
            copy_rows(session, FLAGGED_READINGS, rows)
        restored += len(rows)
        known += int(np.count_nonzero(stored))
        not_given_up += int(np.count_nonzero(~given_up))
    return Restored(restored, known, not_given_up)


def _given_up(session: Connection, readings: Readings) -> Bools:
    series_id, time_us = readings["series_id"].copy(), readings["time_us"].copy()
    floors = load_floors(session, series_id=series_id)
    return (time_us < kept_from_us(session)) | floors.are_above(series_id, time_us)


def _groups(target: Target, file: Entry, numbers: dict[tuple[str, str], int]) -> Iterator[Readings]:
    with target.open(file.path) as opened:
        yield from read_readings(opened, numbers)


def _numbers(session: Connection, target: Target, file: Entry) -> dict[tuple[str, str], int]:
    with target.open(file.path) as opened:
        names = read_names(opened)
    sources, metrics = ([name[part] for name in names] for part in (0, 1))
    found = {
        (source, metric): number
        for source, metric, number in session.execute(_SERIES, (sources, metrics, file.tenant))
    }
    if unknown := [name for name in names if name not in found]:
        raise ArchiveError(
            f"table series lacks {len(unknown):,} series of {target.where(file.path)}, such as {unknown[0]}",
            hint="Somebody removed their rows: put them back by name.",
        )
    return found
