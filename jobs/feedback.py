"""What operators do with episodes of anomalies: list them, label them, and learn thresholds from labels."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from streams.core.detect.episodes import Episode, Severity
from streams.core.detect.feedback import Label, Suggestion, suggestions
from streams.core.detect.roots import ranked, together
from streams.errors import UserError

_LATEST = """
    SELECT DISTINCT ON (episode) episode, started_at, worth_it, labelled_by
    FROM anomaly_labels ORDER BY episode, labelled_at DESC
"""
_LIST = f"""
    SELECT a.episode, a.started_at, a.peak_at, a.ended_at, s.tenant, s.source, s.metric, a.severity, a.state,
           a.surprise, a.direction, a.detector, a.reason, l.worth_it, l.labelled_by, a.series_id
    FROM anomalies AS a
    JOIN series AS s USING (series_id)
    LEFT JOIN ({_LATEST}) AS l USING (episode, started_at)
    WHERE a.started_at >= %(since)s AND a.severity >= %(severity)s
      AND (%(tenant)s::text IS NULL OR s.tenant = %(tenant)s)
    ORDER BY a.started_at DESC, a.episode
    LIMIT %(limit)s
"""
_FIND = "SELECT episode, started_at FROM anomalies WHERE starts_with(episode::text, %s) LIMIT 2"
_SAY = "INSERT INTO anomaly_labels (episode, started_at, worth_it, labelled_by) VALUES (%s, %s, %s, %s)"
_LABELS = f"""
    SELECT CASE s.tenant WHEN 'default' THEN s.metric ELSE s.tenant || ' ' || s.metric END,
           (extract(epoch FROM a.started_at) * 1000000)::bigint, a.surprise, l.worth_it
    FROM ({_LATEST}) AS l
    JOIN anomalies AS a USING (episode, started_at)
    JOIN series AS s USING (series_id)
"""


class Shown(NamedTuple):
    """An episode as it is listed; ``suspicion`` is its share among those of its component at the time."""

    episode: UUID
    started_at: datetime
    peak_at: datetime
    ended_at: datetime | None
    tenant: str
    source: str
    metric: str
    severity: int
    state: str
    surprise: float
    direction: int
    detector: str
    reason: str
    worth_it: bool | None
    labelled_by: str | None
    series_id: int
    suspicion: float = 1.0


def list_episodes(
    dsn: str, since: datetime, severity: Severity, tenant: str | None, limit: int
) -> list[Shown]:
    """Return the newest episodes, newest first. Raises ``psycopg.Error``."""
    asked = {"since": since, "severity": int(severity), "tenant": tenant, "limit": limit}
    with psycopg.connect(dsn, row_factory=class_row(Shown)) as session:
        return suspected(session.execute(_LIST.encode(), asked).fetchall())


def suspected(found: list[Shown]) -> list[Shown]:
    """Return episodes, each with its suspicion among those of its component that belong together."""
    components: dict[tuple[str, str], list[int]] = {}
    for place, shown in enumerate(found):
        components.setdefault((shown.tenant, shown.source.partition("/")[0]), []).append(place)
    shares = {place: share for places in components.values() for place, share in _shares(found, places)}
    return [shown._replace(suspicion=shares[place]) for place, shown in enumerate(found)]


def _shares(found: list[Shown], places: list[int]) -> Iterable[tuple[int, float]]:
    episodes = [_episode(found[place], place) for place in places]
    for part in together(episodes):
        yield from ((suspect.episode.series, suspect.share) for suspect in ranked(part))


def _episode(shown: Shown, place: int) -> Episode:
    ended_at = shown.ended_at or max(shown.peak_at, shown.started_at)
    start_us, peak_us, end_us = (_us(at) for at in (shown.started_at, shown.peak_at, ended_at))
    return Episode(place, start_us, peak_us, end_us, shown.surprise, 0, shown.direction)


def _us(at: datetime) -> int:
    return round(at.timestamp() * 1e6)


def label(dsn: str, beginning: str, *, worth_it: bool, by: str) -> UUID:
    """Store what somebody says of the episode whose id begins so; return its id.

    Raises :class:`UserError` where there is none or are several, ``psycopg.Error``.
    """
    with psycopg.connect(dsn) as session:
        found = session.execute(_FIND, (beginning.lower(),)).fetchall()
        if len(found) != 1:
            many = "several episodes have ids that begin" if found else "no episode has an id that begins"
            raise UserError(f"{many} with {beginning}", hint="Take one from `streamgauge anomalies list`.")
        episode, started_at = found[0]
        session.execute(_SAY, (episode, started_at, worth_it, by))
        return UUID(str(episode))


def suggested(dsn: str) -> list[Suggestion]:
    """Return thresholds that the labels speak for. Raises ``psycopg.Error``."""
    with psycopg.connect(dsn) as session:
        return suggestions(Label(*row) for row in session.execute(_LABELS.encode()))


def described(shown: Shown) -> dict[str, Any]:
    """Return an episode as it is printed in JSON."""
    return {
        **{name: value for name, value in shown._asdict().items() if name not in ("series_id", "severity")},
        "episode": str(shown.episode),
        "severity": Severity(shown.severity).name.lower(),
    }
