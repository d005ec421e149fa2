"""What detectors remember, in the database: a few series with each flush, all of them after a claim."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import LiteralString

import numpy as np

from schemas.topics import ANOMALIES
from sinks.protocols import Partition
from sinks.timescale.anomalies import load_open
from sinks.timescale.copy import Rows, copy_rows, layout, read_rows
from sinks.timescale.rollups import POINT_TYPES, RELEASED, decode_points
from sinks.timescale.session import Connection
from sinks.timescale.slices import read_sliced
from sinks.timescale.times import moment, or_never, timestamp
from streams.core.batch import NEVER_US
from streams.core.detect.choice import Choice
from streams.core.levels import MINUTE_US
from streams.core.watch import MOST_SERIES, Saved, Watch, parameters_of

log = logging.getLogger(__name__)

STATES_AT_ONCE = 10_000

FIRST_SLICE = -4
"""Readings are looked at again from the first four seconds on: a minute may have a million."""

_STATES = "detector_states (series_id, state)"
_DETECTION = """
    SELECT (extract(epoch FROM nullif(began_at, '-infinity')) * 1000000)::bigint,
           (extract(epoch FROM saved_to) * 1000000)::bigint
    FROM detection WHERE topic = %s AND partition = %s AND parameters = %s
"""
_NO_DETECTION = """
    DELETE FROM detection AS d WHERE topic = %s AND partition = %s AND EXISTS (
        SELECT FROM progress AS p WHERE p.topic = d.topic AND p.partition = d.partition AND p.epoch = %s
    )
"""
_NAMES = "SELECT series_id, metric FROM series WHERE home_topic = %s AND home_partition = %s"
_STORED: LiteralString = """
    SELECT d.series_id, d.state FROM detector_states AS d JOIN series AS s USING (series_id)
    WHERE s.home_topic = %s AND s.home_partition = %s AND d.series_id > %s ORDER BY d.series_id LIMIT %s
"""
_FORGET_ALL = """
    DELETE FROM detector_states AS d USING series AS s
    WHERE d.series_id = s.series_id AND s.home_topic = %s AND s.home_partition = %s
"""
_FORGET = "DELETE FROM detector_states WHERE series_id = ANY(%s)"
_SAVED = """
    INSERT INTO detection (topic, partition, parameters, began_at, saved_to) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (topic, partition) DO UPDATE
    SET parameters = excluded.parameters, began_at = excluded.began_at, saved_to = excluded.saved_to
"""


@dataclass(frozen=True, slots=True)
class Detecting:
    """Which series detectors look at, how many of a partition at most, and where episodes are told."""

    choice: Choice = field(default=Choice())
    most_series: int = MOST_SERIES
    topic: str = ANOMALIES


def load_watch(
    session: Connection, partition: Partition, detecting: Detecting, released_us: int, kept_us: int
) -> Watch:
    """Return what detectors know of a partition, of which all before ``released_us`` was released.

    They begin anew where others looked at it before, or nobody, or where readings are given up that they
    had to look at again.
    """
    name, choice = (partition.topic, partition.number), detecting.choice
    stored = session.execute(_DETECTION, (*name, parameters_of(choice, detecting.most_series))).fetchone()
    began_us, saved_us = (NEVER_US, NEVER_US) if stored is None else (or_never(stored[0]), stored[1])
    begins = stored is None or saved_us < min(kept_us, released_us)
    if begins:
        began_us, saved_us = released_us, NEVER_US
        if released_us > NEVER_US:
            log.info("Detectors begin anew with %s/%d", *name)
    watch = Watch(choice, began_us, detecting.most_series, saved_us=saved_us)
    if choice.left_out:
        names = session.execute(_NAMES, name).fetchall()
        left_out = [series_id for series_id, metric in names if not choice.watches(metric)]
        watch.leave_out(np.array(left_out, np.int64))
    if not begins:
        _go_on(session, partition, watch, saved_us, released_us)
    watch.resume(load_open(session, partition), released_us)
    return watch


def forget_detection(session: Connection, partition: Partition, epoch: int) -> None:
    """Note that nobody looks at a partition: whoever does later begins anew.

    Nothing is done where somebody has taken it over meanwhile.
    """
    session.execute(_NO_DETECTION, (partition.topic, partition.number, epoch))


def save(session: Connection, partition: Partition, watch: Watch, saved: Saved) -> None:
    """Store what detectors remember of some series, in the open transaction."""
    name = (partition.topic, partition.number)
    if saved.begins:
        session.execute(_FORGET_ALL, name)
    elif len(saved.series):
        session.execute(_FORGET, (saved.series.tolist(),))
    if len(saved.series):
        copy_rows(session, _STATES, _encoded(saved))
    session.execute(_SAVED, (*name, watch.parameters, moment(watch.began_us), timestamp(saved.all_to_us)))


def _go_on(session: Connection, partition: Partition, watch: Watch, saved_us: int, released_us: int) -> None:
    """Restore what is stored, and look once more at what was released since."""
    name = (partition.topic, partition.number)
    for rows in _stored(session, partition, watch.bytes_per_series):
        series = rows["series_id"].astype(np.int64)
        states = np.ascontiguousarray(rows["state"]).view(np.uint8).reshape(len(rows), -1)
        watch.restore(series, states)

    def read(from_us: int, to_us: int, most: int) -> Rows:
        between = timestamp(from_us), timestamp(to_us)
        return read_rows(session, RELEASED, (*name, *between, most), **POINT_TYPES)

    for rows in read_sliced(read, saved_us, released_us, MINUTE_US, power=FIRST_SLICE):
        watch.look_again(decode_points(rows))


def _stored(session: Connection, partition: Partition, bytes_per_series: int) -> Iterator[Rows]:
    """Yield what is stored of series, some at a time."""
    after, full = -1, True
    while full:
        asked = (partition.topic, partition.number, after, STATES_AT_ONCE)
        rows = read_rows(session, _STORED, asked, series_id=">i4", state=f"V{bytes_per_series}")
        full = len(rows) == STATES_AT_ONCE
        if len(rows):
            yield rows
            after = int(rows["series_id"].max())


def _encoded(saved: Saved) -> Rows:
    row = layout(series_id=">i4", state=f"V{saved.states.shape[1]}")
    rows = np.repeat(row, len(saved.series))
    rows["series_id"] = saved.series
    rows["state"] = np.ascontiguousarray(saved.states).view(rows.dtype["state"]).ravel()
    return rows
