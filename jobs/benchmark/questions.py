"""What analysts ask of the fleet of :mod:`jobs.benchmark.fleet`, and how fast each answer is to be."""

from __future__ import annotations

from typing import NamedTuple

OURS, PLAIN, KEPT = "ours", "plain", "kept"

_WORDS = {
    "machine": "tenant = 'default' AND source = 'machine-1' AND metric = 'temperature'",
    "site": "tenant = 'default' AND site = 'site-0' AND metric = 'temperature'",
    "number": "series('machine-1', 'temperature')",
    "end": "'2026-03-31 18:10Z'",
    "hour": "'2026-03-31 17:10Z'",
    "day": "'2026-03-30 18:00Z'",
    "weeks": "'2026-03-03 00:00Z'",
    "quarter": "'2025-12-31 18:00Z'",
    "of_rows": "sum(sum) / sum(readings - bad) AS mean, min(min), max(max)",
    "of_raw": "avg(value) AS mean, min(value), max(value)",
    "named": "readings JOIN series USING (series_id)",
    "machine_day": "readings WHERE series_id = 1 AND ts >= {day} AND ts < {end}",
}
LEVELS = {"15m": "15 minutes", "1h": "1 hour", "1d": "1 day"}
"""Levels that are asked, and how wide their buckets are."""

KEEP = """
    CREATE MATERIALIZED VIEW kept_{level}
    WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
    SELECT series_id, time_bucket('{width}', ts) AS bucket, count(*) AS readings, 0 AS bad,
           sum(value) AS sum, min(value) AS min, max(value) AS max
    FROM readings GROUP BY 1, 2
"""
"""Makes a continuous aggregate like a level of rollups, which the Community edition keeps."""


class Question(NamedTuple):
    """One question: how fast its answer is to be, and its SQL by the way that it is asked.

    ``ours`` asks our views and functions, ``plain`` the readings, ``kept`` a continuous aggregate.
    """

    name: str
    bound_ms: float
    ways: dict[str, str]


def _question(name: str, bound_ms: float, **ways: str) -> Question:
    words = {word: text.format_map(_WORDS) for word, text in _WORDS.items()}
    return Question(name, bound_ms, {way: sql.format_map(words) for way, sql in ways.items()})


def _raw(name: str, bound_ms: float, since: str) -> Question:
    time = f"ts >= {{{since}}} AND ts < {{end}} ORDER BY ts"
    return _question(
        name,
        bound_ms,
        ours="SELECT ts, value FROM readings_named WHERE {machine} AND " + time,
        plain="SELECT ts, value FROM readings WHERE series_id = 1 AND " + time,
    )


def _by_time(name: str, bound_ms: float, level: str, of: str, since: str) -> Question:
    """Ask for the buckets of one or many series since some time."""
    begin, grouped = f"{{{of}}} AND bucket >= {{{since}}} AND bucket < {{end}}", " GROUP BY 1 ORDER BY 1"
    raw = f"{{{of}}} AND ts >= {{{since}}} AND ts < {{end}}"
    return _question(
        name,
        bound_ms,
        ours=f"SELECT bucket, {{of_rows}} FROM rollup_{level} WHERE {begin}{grouped}",
        plain=f"SELECT time_bucket('{LEVELS[level]}', ts), {{of_raw}} FROM {{named}} WHERE {raw}{grouped}",
        kept=f"SELECT bucket, {{of_rows}} FROM kept_{level} JOIN series USING (series_id)"
        f" WHERE {begin}{grouped}",
    )


def _by_site(name: str, bound_ms: float, level: str, bucket: str) -> Question:
    """Ask for one bucket of all series."""
    one, grouped = f"tenant = 'default' AND bucket = '{bucket}'", " GROUP BY 1 ORDER BY 1"
    time = f"ts >= timestamptz '{bucket}' AND ts < timestamptz '{bucket}' + INTERVAL '{LEVELS[level]}'"
    return _question(
        name,
        bound_ms,
        ours=f"SELECT site, {{of_rows}} FROM rollup_{level} WHERE {one}{grouped}",
        plain=f"SELECT site, {{of_raw}} FROM {{named}} WHERE tenant = 'default' AND {time}{grouped}",
        kept=f"SELECT site, {{of_rows}} FROM kept_{level} JOIN series USING (series_id) WHERE {one}{grouped}",
    )


_NEIGHBOURS = """
    SELECT ts, value, value - lag(value) OVER by_ts AS change, ts - lag(ts) OVER by_ts AS since_last,
           date_part('epoch', lead(ts, 1, {end}) OVER by_ts - ts) AS seconds
    FROM {machine_day} WINDOW by_ts AS (ORDER BY ts)
"""


def _grid(value: str, rows: str = "SELECT ts, value FROM {machine_day}") -> str:
    """Return plain SQL for a day of a series by quarters of an hour, those without a value among them."""
    return f"""
        SELECT bucket, value FROM generate_series(
            timestamptz {{day}}, timestamptz {{end}} - INTERVAL '1 second', INTERVAL '15 minutes'
        ) AS bucket
        LEFT JOIN (
            SELECT time_bucket('15 minutes', ts) AS bucket, {value} AS value FROM ({rows}) AS r GROUP BY 1
        ) AS filled USING (bucket)
        ORDER BY bucket
    """


def _by_15m(function: str, **others: str) -> Question:
    asked = f"SELECT bucket, value FROM {function}({{number}}, {{day}}, {{end}}, '15 minutes')"
    return _question(function, 500, ours=asked, **others)


_CARRIED = f"""
    SELECT bucket, first_value(value) OVER (PARTITION BY run ORDER BY bucket) FROM (
        SELECT bucket, value, count(value) OVER (ORDER BY bucket) AS run
        FROM ({_grid("avg(value)")}) AS filled
    ) AS runs ORDER BY bucket
"""
_RISEN = "sum(CASE WHEN change < 0 THEN value ELSE change END) / date_part('epoch', sum(since_last))"

QUESTIONS = (
    _raw("1 h of a series, raw", 10, "hour"),
    _raw("24 h of a series, raw", 100, "day"),
    _by_time("24 h of a site by 1 h", 50, "1h", "site", "day"),
    _by_time("24 h of a site by 15 min", 50, "15m", "site", "day"),
    _by_time("90 days of a series by 1 h", 50, "1h", "machine", "quarter"),
    _question(
        "latest of all series",
        200,
        ours="SELECT source, metric, ts, value FROM latest",
        plain="SELECT DISTINCT ON (series_id) source, metric, ts, value FROM {named} WHERE ts >= {day}"
        " ORDER BY series_id, ts DESC",
    ),
    _by_time("4 weeks of a site by 1 d", 500, "1d", "site", "weeks"),
    _by_site("one day of all, by site", 500, "1d", "2026-03-30 00:00Z"),
    _by_site("one hour of all, by site", 500, "1h", "2026-03-31 17:00Z"),
    _by_15m("gapfill", plain=_grid("avg(value)")),
    _by_15m("locf", plain=_CARRIED),
    _by_15m("interpolate"),
    _by_15m("delta", plain=_grid("sum(change)", _NEIGHBOURS)),
    _by_15m("rate", plain=_grid(_RISEN, _NEIGHBOURS)),
    # Plain SQL does not divide at the edges of buckets what a value holds beyond them.
    _by_15m("time_weighted_avg", plain=_grid("sum(value * seconds) / sum(seconds)", _NEIGHBOURS)),
    _question("lttb", 500, ours="SELECT * FROM lttb({number}, {day}, {end}, 500)"),
    _question(
        "asof_join",
        500,
        ours="SELECT ts, value, other_value"
        " FROM asof_join({number}, series('machine-2', 'temperature'), {day}, {end})",
        plain="""
            SELECT r.ts, r.value, o.value FROM readings AS r LEFT JOIN LATERAL (
                SELECT value FROM readings
                WHERE series_id = 2 AND ts <= r.ts AND ts >= r.ts - INTERVAL '24 hours'
                ORDER BY ts DESC LIMIT 1
            ) AS o ON true
            WHERE r.series_id = 1 AND r.ts >= {day} AND r.ts < {end} ORDER BY r.ts
        """,
    ),
)
