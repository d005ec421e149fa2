"""What the database holds of the readings of one partition, and of the partition as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from sinks.protocols import Partition
from sinks.timescale.copy import POSTGRES_EPOCH_US, read_rows
from sinks.timescale.detectors import Detecting, load_watch
from sinks.timescale.rollups import load_rollups
from sinks.timescale.session import Connection
from sinks.timescale.times import timestamp
from streams.core.batch import NEVER_US, Int32, Int64, Points
from streams.core.deduplicate import KEPT_FOREVER_US, Deduplicator
from streams.core.floors import Floors
from streams.core.identities import Stored
from streams.core.partition import PartitionMemory, Reached
from streams.core.producers import ProducerState
from streams.core.watermark import Patience

_ASKED_PER_CALL = 20_000

_STORED = """
    SELECT asked.nth, r.value, r.quality
    FROM unnest(%s::int[], %s::timestamptz[]) WITH ORDINALITY AS asked (series_id, ts, nth)
    JOIN readings AS r ON r.series_id = asked.series_id AND r.ts = asked.ts
    WHERE r.ts BETWEEN %s AND %s
"""
_REVISION = """
    SELECT revision, late FROM reading_versions WHERE series_id = %s AND ts = %s
    ORDER BY revision DESC LIMIT 1
"""
_LATEST = "SELECT series_id, extract(epoch FROM latest) * 1000000 FROM latest_times_of_series(%s, %s)"
_UNRELEASED = "SELECT ts, value, series_id, quality FROM unreleased_readings(%s, %s, %s, %s, %s)"
_REACHED = """
    SELECT (extract(epoch FROM log_clock) * 1000)::bigint, clock_era,
           (extract(epoch FROM watermark) * 1000000)::bigint,
           (extract(epoch FROM released_to) * 1000000)::bigint
    FROM progress WHERE topic = %s AND partition = %s
"""
_FLOORS = """
    SELECT r.series_id, (extract(epoch FROM r.kept_from) * 1000000)::bigint
    FROM series_retention AS r JOIN series AS s USING (series_id)
    WHERE r.kept_from > (SELECT kept_from FROM raw_retention)
      AND (%(series)s::int[] IS NULL OR r.series_id = ANY (%(series)s))
      AND (%(topic)s::text IS NULL OR (s.home_topic = %(topic)s AND s.home_partition = %(number)s))
    ORDER BY r.series_id
"""
_RAISED = "SELECT kept_from::text, raised FROM raw_retention"
_KEPT_FROM = (
    "SELECT CASE WHEN isfinite(kept_from) THEN extract(epoch FROM kept_from) * 1000000 END FROM raw_retention"
)


class DatabaseHistory:
    """Looks readings up in the database (:class:`~streams.core.partition.PartitionHistory`).

    ``session`` is asked for the connection when there is something to look up.
    """

    def __init__(self, session: Callable[[], Connection], partition: Partition) -> None:
        self._session = session
        self._name = (partition.topic, partition.number)

    def stored(self, series_id: Int64, time_us: Int64) -> Stored:
        """Look identities up, day by day, so that each query touches the chunks of its own days."""
        session = self._session()
        found = Stored.nothing(len(series_id))
        by_time = np.argsort(time_us, kind="stable")
        for start in range(0, len(by_time), _ASKED_PER_CALL):
            asked = by_time[start : start + _ASKED_PER_CALL]
            times = [timestamp(time) for time in time_us[asked].tolist()]
            for nth, value, quality in session.execute(
                _STORED, (series_id[asked].tolist(), times, times[0], times[-1])
            ):
                row = asked[nth - 1]
                found.found[row], found.value[row], found.quality[row] = True, value, quality
        return found

    def revision(self, series_id: int, time_us: int) -> tuple[int, bool]:
        """Return the revision of a stored reading, and whether it came with something late."""
        found = self._session().execute(_REVISION, (series_id, timestamp(time_us))).fetchone()
        return found or (0, False)

    def unreleased(self, from_us: int, to_us: int, most: int) -> Points:
        """Return readings of the partition's series that were not late, in order of time."""
        between = timestamp(from_us), timestamp(to_us)
        rows = read_rows(
            self._session(),
            _UNRELEASED,
            (*self._name, *between, most),
            ts=">i8",
            value=">f8",
            series_id=">i4",
            quality=">i2",
        )
        rows = rows[np.argsort(rows["ts"], kind="stable")]
        return Points(
            rows["series_id"].astype(np.int32),
            rows["ts"] + POSTGRES_EPOCH_US,
            rows["value"].astype(np.float64),
            rows["quality"].astype(np.int16),
        )


def kept_from_us(session: Connection) -> int:
    """Return from when on readings are kept, in microseconds since 1970."""
    ((kept_from,),) = session.execute(_KEPT_FROM).fetchall()
    return KEPT_FOREVER_US if kept_from is None else int(kept_from)


def raised(session: Connection) -> tuple[Any, ...]:
    """Return what is another thing after readings were given up, of whatever series."""
    (state,) = session.execute(_RAISED).fetchall()
    return state


def load_floors(
    session: Connection, partition: Partition | None = None, series_id: Int64 | Int32 | None = None
) -> Floors:
    """Return from when on readings are kept where it is later than :func:`kept_from_us`.

    Of the series of a partition, of some series, or of all of them.
    """
    topic, number = (None, None) if partition is None else (partition.topic, partition.number)
    asked = {
        "topic": topic,
        "number": number,
        "series": None if series_id is None else np.unique(series_id).tolist(),
    }
    found = np.array(session.execute(_FLOORS, asked).fetchall(), np.int64).reshape(-1, 2)
    return Floors(found[:, 0], found[:, 1])


def load_memory(
    session: Connection,
    partition: Partition,
    floor_us: int,
    patience: Patience,
    producers: Iterable[ProducerState],
    detecting: Detecting | None = None,
) -> PartitionMemory:
    """Return what a partition's owner must know of it before it stores more, of ``producers`` too."""
    name = (partition.topic, partition.number)
    latest = session.execute(_LATEST, name).fetchall()
    series_id = np.array([row[0] for row in latest], np.int64)
    latest_us = np.array([int(row[1]) for row in latest], np.int64)
    stored = session.execute(_REACHED, name).fetchall()
    reached = _reached(*stored[0]) if stored else Reached()
    floors = load_floors(session, partition)
    kept_us = max(floor_us, int(floors.kept_from_us.max(initial=NEVER_US)))
    watch = None
    if detecting is not None:
        watch = load_watch(session, partition, detecting, reached.released_us, kept_us)
    return PartitionMemory(
        Deduplicator(0, series_id, latest_us, floor_us, floors),
        producers,
        reached,
        patience,
        rollups=load_rollups(session, partition, reached.released_us),
        watch=watch,
    )


def _reached(clock_ms: int | None, era: int, watermark_us: int | None, released_us: int | None) -> Reached:
    return Reached(
        clock_ms,
        era,
        NEVER_US if watermark_us is None else watermark_us,
        NEVER_US if released_us is None else released_us,
    )
