"""Episodes in the database and what is told of them on Kafka: part of the flush that they came with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from schemas.anomaly import encode_anomaly
from sinks.protocols import Partition
from sinks.timescale.outbox import copy_messages
from sinks.timescale.session import Connection
from sinks.timescale.times import timestamp
from streams.core.anomaly import Anomaly, State
from streams.core.batch import Int32, Int64
from streams.core.deduplicate import series_time_order
from streams.core.detect.episodes import Severity
from streams.core.watch import Sightings

_NAMES = "SELECT series_id, tenant, source, metric FROM series WHERE series_id = ANY(%s)"
_OPEN = """
    SELECT a.series_id, (extract(epoch FROM a.started_at) * 1000000)::bigint, a.revision, a.severity,
           a.detector, a.reason, a.direction, a.surprise, a.statistic, a.observed, a.expected, a.band,
           (extract(epoch FROM a.peak_at) * 1000000)::bigint
    FROM anomalies AS a JOIN series AS s USING (series_id)
    WHERE a.state = 'open' AND s.home_topic = %s AND s.home_partition = %s
"""
_FIXED = {"episode": "uuid", "series_id": "int", "started_at": "timestamptz", "parameters": "text"}
_CHANGING = {
    "peak_at": "timestamptz", "ended_at": "timestamptz", "revision": "int", "state": "text",
    "severity": "smallint", "detector": "text", "reason": "text", "direction": "smallint", "score": "float8",
    "surprise": "float8", "statistic": "float8", "observed": "float8", "expected": "float8", "band": "float8",
}  # fmt: skip
_COLUMNS = _FIXED | _CHANGING
_STORE = f"""
    INSERT INTO anomalies ({", ".join(_COLUMNS)})
    SELECT * FROM unnest({", ".join(f"%s::{kind}[]" for kind in _COLUMNS.values())})
    ON CONFLICT (episode, started_at) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in _CHANGING)}
    RETURNING episode::text, parameters
"""
# What came late before, which a flush would not find that tells of what it fell into.
_MARK_CHANGED = """
    UPDATE anomalies AS a SET late = EXISTS (
        SELECT FROM readings AS r
        WHERE r.late AND r.series_id = a.series_id
          AND r.ts >= a.started_at AND r.ts <= coalesce(a.ended_at, 'infinity')
    ) OR EXISTS (
        SELECT FROM reading_versions AS v
        WHERE v.late AND v.series_id = a.series_id
          AND v.ts >= a.started_at AND v.ts <= coalesce(a.ended_at, 'infinity')
    )
    FROM unnest(%s::uuid[], %s::timestamptz[]) AS changed (episode, started_at)
    WHERE a.episode = changed.episode AND a.started_at = changed.started_at
"""
_NEAR = """
    SELECT episode, started_at, series_id, (extract(epoch FROM started_at) * 1000000)::bigint,
           coalesce((extract(epoch FROM ended_at) * 1000000)::bigint, %(for_ever)s)
    FROM anomalies
    WHERE NOT late AND series_id = ANY(%(series)s) AND started_at <= %(last)s
      AND (ended_at >= %(first)s OR state = 'open')
"""
_MARK = """
    UPDATE anomalies AS a SET late = true
    FROM unnest(%s::uuid[], %s::timestamptz[]) AS hit (episode, started_at)
    WHERE a.episode = hit.episode AND a.started_at = hit.started_at
"""

_FOR_EVER_US = int(np.iinfo(np.int64).max) - 1

Name = tuple[str, str, str]
Names = Mapping[int, Name]


def load_open(session: Connection, partition: Partition) -> list[Anomaly]:
    """Return the episodes of a partition that go on."""
    rows = session.execute(_OPEN, (partition.topic, partition.number))
    return [
        Anomaly(series_id, start_us, revision, State.OPEN, Severity(severity), *rest)
        for series_id, start_us, revision, severity, *rest in rows
    ]


def store(session: Connection, sightings: Sightings, parameters: str, topic: str) -> None:
    """Store what came of the readings of a partition, and put what is told of it into the outbox."""
    if not sightings.changed:
        return
    changed = sightings.changed.values()
    known = session.execute(_NAMES, (list({anomaly.series_id for anomaly in changed}),))
    names = {number: (tenant, source, metric) for number, tenant, source, metric in known}
    there = [anomaly for anomaly in changed if anomaly.series_id in names]
    if not there:
        return
    columns = zip(*(_row(each, names[each.series_id], parameters) for each in there), strict=True)
    found_with: dict[str, str] = dict(
        session.execute(_STORE, [list(column) for column in columns]).fetchall()
    )
    # Whatever falls into it in between marks it as it comes.
    began = {anomaly.key for anomaly in sightings.told if anomaly.revision == 0}
    turned = [
        (each.episode(*names[each.series_id]), timestamp(each.start_us))
        for each in there
        if each.key in began or each.state != State.OPEN
    ]
    if turned:
        session.execute(_MARK_CHANGED, [list(column) for column in zip(*turned, strict=True)])
    copy_messages(session, topic, messages(sightings.told, names, found_with))


def mark_late(session: Connection, series_id: Int32, time_us: Int64) -> None:
    """Mark the episodes that something fell into that was late: detectors have not seen it."""
    if not len(time_us):
        return
    order = series_time_order(series_id, time_us)
    series_id, time_us = series_id[order], time_us[order]
    asked = {
        "series": np.unique(series_id).tolist(),
        "first": timestamp(int(time_us.min())),
        "last": timestamp(int(time_us.max())),
        "for_ever": _FOR_EVER_US,
    }
    marked = []
    for episode, started_at, series, start_us, end_us in session.execute(_NEAR, asked).fetchall():
        of_series = time_us[slice(*np.searchsorted(series_id, [series, series + 1]))]
        first, last = np.searchsorted(of_series, [start_us, end_us + 1])
        if first < last:
            marked.append((episode, started_at))
    if marked:
        session.execute(_MARK, [list(column) for column in zip(*marked, strict=True)])


def messages(
    told: Iterable[Anomaly], names: Names, found_with: Mapping[str, str]
) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield event id, key and value of the message of each, but for series that are deleted.

    ``found_with`` are the parameters of each episode: whoever forgets one has others than who found it.
    """
    for anomaly in told:
        if anomaly.series_id in names:
            name = names[anomaly.series_id]
            episode = str(anomaly.episode(*name))
            fields = document(anomaly, name, found_with[episode])
            yield f"{episode}/{anomaly.revision}", episode.encode(), encode_anomaly(fields)


def document(anomaly: Anomaly, name: Name, parameters: str) -> dict[str, Any]:
    """Return the fields of its message; its number of the series means nothing outside the database."""
    tenant, source, metric = name
    return {
        "episode": str(anomaly.episode(*name)),
        "revision": anomaly.revision,
        "tenant": tenant,
        "source": source,
        "metric": metric,
        "state": anomaly.state.value,
        "severity": anomaly.severity.name.lower(),
        "start": anomaly.start_us,
        "peak": anomaly.peak_us,
        "end": anomaly.end_us,
        "direction": anomaly.direction,
        "score": anomaly.score,
        "detector": anomaly.detector,
        "reason": anomaly.reason,
        "observed": anomaly.observed,
        "expected": anomaly.expected,
        "band": anomaly.band,
        "statistic": anomaly.statistic,
        "parameters": parameters,
    }


def _row(anomaly: Anomaly, name: Name, parameters: str) -> tuple[object, ...]:
    return (
        anomaly.episode(*name),
        anomaly.series_id,
        timestamp(anomaly.start_us),
        parameters,
        timestamp(anomaly.peak_us),
        None if anomaly.end_us is None else timestamp(anomaly.end_us),
        anomaly.revision,
        anomaly.state.value,
        int(anomaly.severity),
        anomaly.detector,
        anomaly.reason,
        anomaly.direction,
        anomaly.score,
        anomaly.surprise,
        anomaly.statistic,
        anomaly.observed,
        anomaly.expected,
        anomaly.band,
    )
