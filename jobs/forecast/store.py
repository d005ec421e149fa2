"""Forecasts and the database: the hours that they are made from, and the table that keeps them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import numpy as np
import psycopg

from streams.core.batch import Float64
from streams.core.forecast.hours import MOST_HOURS
from streams.core.forecast.predict import Forecast
from streams.errors import UserError

Connection = psycopg.Connection[tuple[Any, ...]]

HOUR = timedelta(hours=1)

_SESSION = "SET search_path TO public; SET timezone TO 'UTC'; SET statement_timeout TO '5min'"
_LEVEL = "SELECT to_regclass('forecast_hours') IS NOT NULL"
_SERIES = """
    SELECT s.series_id, s.tenant, s.source, s.metric, date_bin('1 hour', r.released_to, 'epoch') AS issued_at
    FROM series AS s
    JOIN rollup_marks AS r USING (series_id)
    LEFT JOIN metrics AS m USING (tenant, metric)
    WHERE fits(s.tenant, %(tenant)s) AND fits(s.source, %(source)s) AND fits(s.metric, %(metric)s)
      AND isfinite(r.released_to) AND m.kind IS DISTINCT FROM 'state'
    ORDER BY s.series_id
"""
_ISSUED = "SELECT EXISTS (SELECT FROM forecasts WHERE series_id = %s AND issued_at = %s AND bucket = %s)"
_HOURS = """
    SELECT (extract(epoch FROM bucket - %(since)s) / 3600)::int, value FROM forecast_hours
    WHERE series_id = %(series)s AND bucket >= %(since)s AND bucket < %(until)s
"""
_STORE = """
    INSERT INTO forecasts (bucket, issued_at, p10, p50, p90, error, scale, series_id, model)
    SELECT %(issued_at)s + hour * INTERVAL '1 hour', %(issued_at)s, p10, p50, p90,
           %(error)s, %(scale)s, %(series)s, %(model)s
    FROM unnest(%(hours)s::int[], %(p10)s::float8[], %(p50)s::float8[], %(p90)s::float8[])
        AS each (hour, p10, p50, p90)
    ON CONFLICT DO NOTHING
"""


class Series(NamedTuple):
    """A series, and up to when it was released: what is forecast begins there."""

    series_id: int
    tenant: str
    source: str
    metric: str
    issued_at: datetime

    def __str__(self) -> str:
        return f"{self.tenant} {self.source} {self.metric}"


@contextmanager
def open_session(dsn: str) -> Iterator[Connection]:
    """Yield a worker's session. Raises UserError where rollups by the hour are missing, ``psycopg.Error``."""
    with psycopg.connect(dsn, autocommit=True, application_name="streamgauge-forecast") as session:
        session.execute(_SESSION)
        ((has_hours,),) = session.execute(_LEVEL).fetchall()
        if not has_hours:
            raise UserError(
                "forecasts are made from rollups by the hour, which this database does not keep",
                hint="Name 1h in the setting rollup_levels, and run: streamgauge migrate",
            )
        yield session


def list_series(session: Connection, tenant: str, source: str, metric: str) -> list[Series]:
    """Return the series whose names are like these, in which * stands for any letters; none of states."""
    rows = session.execute(_SERIES, {"tenant": tenant, "source": source, "metric": metric})
    return [Series(*row) for row in rows]


def find_series(session: Connection, tenant: str, source: str, metric: str) -> Series:
    """Return the series of these names. Raises UserError where there is none that could be forecast."""
    for series in list_series(session, tenant, source, metric):
        if (series.tenant, series.source, series.metric) == (tenant, source, metric):
            return series
    raise UserError(
        f"there is no series {tenant} {source} {metric} of numbers that has been released",
        hint="Ask for names in SQL: SELECT tenant, source, metric FROM series_catalogue",
    )


def is_issued(session: Connection, series: Series) -> bool:
    """Return whether the series was forecast at that time already."""
    row = (series.series_id, series.issued_at, series.issued_at)
    ((issued,),) = session.execute(_ISSUED, row).fetchall()
    return bool(issued)


def read_hours(session: Connection, series: Series) -> Float64:
    """Return the latest hours up to the time of issue; NaN where there is none."""
    since = series.issued_at - MOST_HOURS * HOUR
    bounds = {"series": series.series_id, "since": since, "until": series.issued_at}
    value = np.full(MOST_HOURS, np.nan)
    rows = session.execute(_HOURS, bounds).fetchall()
    if rows:
        hour, mean = zip(*rows, strict=True)
        value[list(hour)] = mean
    return value


def store(session: Connection, series: Series, forecast: Forecast) -> None:
    """Store a forecast as a whole, unless one of that time is there: what was issued is never changed."""
    session.execute(
        _STORE,
        {
            "issued_at": series.issued_at,
            "hours": list(range(len(forecast.p50))),
            "p10": forecast.p10.tolist(),
            "p50": forecast.p50.tolist(),
            "p90": forecast.p90.tolist(),
            "error": forecast.error,
            "scale": forecast.scale if np.isfinite(forecast.scale) else None,
            "series": series.series_id,
            "model": forecast.model,
        },
    )
