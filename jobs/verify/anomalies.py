"""Holds the episodes that are stored to what detectors say who see the log's readings once, in one piece.

Neither flushes, nor owners, nor what was saved in between can have changed anything there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from jobs.verify.oracle import Row
from jobs.verify.snapshot import Connection
from sinks.timescale.detectors import Detecting
from streams.core.anomaly import Anomaly, State, worst
from streams.core.batch import NEVER_US, Points
from streams.core.detect.episodes import NOTICE
from streams.core.detect.lookout import Lookout
from streams.core.watch import parameters_of

SERIES_AT_ONCE = 1_000

SEVERITIES = (1.25, 1.7, 2.2, 3.0)
"""From which surprise on an episode is low, medium, high and critical."""

_DETECTION = """
    SELECT (extract(epoch FROM nullif(began_at, '-infinity')) * 1000000)::bigint
    FROM detection WHERE topic = %s AND partition = %s AND parameters = %s
"""
_NAMES = """
    SELECT series_id, tenant, source, metric FROM series WHERE home_topic = %s AND home_partition = %s
"""
_GIVEN_UP = """
    SELECT series_id, (extract(epoch FROM kept_from) * 1000000)::bigint
    FROM series CROSS JOIN LATERAL readings_kept_from(series_id) AS kept_from
    WHERE home_topic = %s AND home_partition = %s AND isfinite(kept_from)
"""
_STORED = """
    SELECT a.series_id, (extract(epoch FROM a.started_at) * 1000000)::bigint, a.revision, a.state, a.severity,
           a.detector, a.reason, a.direction, a.surprise, a.statistic, a.observed, a.expected, a.band,
           (extract(epoch FROM a.peak_at) * 1000000)::bigint,
           (extract(epoch FROM a.ended_at) * 1000000)::bigint, a.score, a.episode::text, a.late
    FROM anomalies AS a JOIN series AS s USING (series_id)
    WHERE s.home_topic = %s AND s.home_partition = %s AND a.parameters = %s
"""
_FAULT = """
    INSERT INTO faults SELECT 'misdetected', %s, timestamptz 'epoch' + %s * INTERVAL '1 microsecond', %s
"""

Late = Mapping[int, Iterable[int]]
"""Times of what came late, by series."""


class Known(NamedTuple):
    """An episode, beside what follows from it."""

    anomaly: Anomaly
    score: float
    episode: str
    late: bool


def compare_anomalies(
    session: Connection,
    topic: str,
    partition: int,
    detecting: Detecting,
    rows: Iterable[Row],
    late: Late,
) -> None:
    """Note the episodes of a partition that are not what its readings make.

    ``rows`` are what was released, by series, as it was then. Nothing is said where detectors do not
    look at the partition with these settings, or at fewer series than there are. Episodes of days that are
    given up may be dropped.
    """
    name, parameters = (topic, partition), parameters_of(detecting.choice, detecting.most_series)
    detection = session.execute(_DETECTION, (*name, parameters)).fetchone()
    if detection is None:
        return
    began_us = NEVER_US if detection[0] is None else detection[0]
    names = {number: named for number, *named in session.execute(_NAMES, name)}
    looked_at = {number for number, named in names.items() if detecting.choice.watches(named[2])}
    if len(looked_at) > detecting.most_series:
        return
    wanted = {
        anomaly.key: Known(
            anomaly,
            anomaly.score,
            str(anomaly.episode(*names[anomaly.series_id])),
            any(
                anomaly.start_us <= time_us <= (anomaly.end_us or time_us)
                for time_us in late.get(anomaly.series_id, ())
            ),
        )
        for anomaly in episodes_of(row for row in rows if row[0] in looked_at and row[1] >= began_us)
    }
    stored = {
        known.anomaly.key: known
        for known in _stored(session, (*name, parameters))
        if known.anomaly.start_us >= began_us and known.anomaly.state != State.FORGOTTEN
    }
    given_up_us: dict[int, int] = dict(session.execute(_GIVEN_UP, name).fetchall())
    for key in sorted(wanted.keys() | stored.keys()):
        if key not in stored and key[1] < given_up_us.get(key[0], NEVER_US):
            continue
        if wanted.get(key) != stored.get(key):
            said = f"stored is {stored.get(key)}, by the log {wanted.get(key)}"
            session.execute(_FAULT, (*key, said))


def episodes_of(rows: Iterable[Row]) -> Iterator[Anomaly]:
    """Yield the episodes of readings, which come by series.

    >>> list(episodes_of([Row(7, time_us, 0, 0) for time_us in range(100)]))
    []
    """
    group: list[Points] = []
    for series_id, of_series in groupby(rows, itemgetter(0)):
        _, time_us, value_bits, quality, _ = zip(*sorted(of_series), strict=True)
        group.append(
            Points(
                np.full(len(time_us), series_id, np.int32),
                np.array(time_us, np.int64),
                np.array(value_bits, np.int64).view(np.float64),
                np.array(quality, np.int16),
            )
        )
        if len(group) == SERIES_AT_ONCE:
            yield from _episodes(Points.concat(group))
            group = []
    yield from _episodes(Points.concat(group))


def _episodes(points: Points) -> Iterator[Anomaly]:
    """Yield the episodes of readings by series, then time: those of each as a whole."""
    seen = Lookout(SERIES_AT_ONCE).update(points)
    found: list[Anomaly] = []
    peak = 0.0
    for row in np.flatnonzero(seen.findings.surprise >= NOTICE).tolist():
        surprise = float(seen.findings.surprise[row])
        if seen.began[row]:
            found.append(worst(points, seen.findings, row, None)._replace(revision=0))
        elif surprise > peak:
            rises = bisect_right(SEVERITIES, surprise) > bisect_right(SEVERITIES, peak)
            revision = found[-1].revision + rises
            found[-1] = worst(points, seen.findings, row, found[-1])._replace(revision=revision)
        else:
            continue
        peak = surprise
    ends = {(episode.series, episode.start_us): episode.end_us for episode in seen.ended}
    for anomaly in found:
        end_us = ends.get(anomaly.key)
        told = anomaly.revision + (end_us is not None)
        yield anomaly if end_us is None else anomaly.ended(end_us)._replace(revision=told)


def _stored(session: Connection, arguments: tuple[object, ...]) -> Iterator[Known]:
    for *columns, score, episode, late in session.execute(_STORED, arguments):
        yield Known(Anomaly(*columns), score, episode, late)
