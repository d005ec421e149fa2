"""The verbs ``forecast`` as a user calls them, and what becomes of what they store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg
import pytest
from typer.testing import CliRunner

from jobs.cli.main import app
from jobs.forecast import store
from jobs.forecast.run import run
from jobs.retention.dropping import Turn
from jobs.retention.rollups import drop_rollups
from sinks.timescale.levels import apply_levels
from streams.core.forecast.scores import QUANTILES, pinball
from streams.core.levels import parse_levels
from streams.core.rollup import LEVELS_US
from streams.errors import UserError
from tests.databases import as_reader, as_writer, tenant_reader
from tests.forecasts import one_by_one

pytestmark = pytest.mark.stack

DAYS, HOUR = 9, timedelta(hours=1)
BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
ISSUED = BEGIN + DAYS * timedelta(days=1)
FILL = """
    INSERT INTO series (tenant, source, metric, home_topic, home_partition)
    VALUES ('default', 'web-1', 'cpu', 'readings', 0), ('acme', 'web-1', 'cpu', 'readings', 0),
           ('default', 'web-1', 'starts', 'readings', 0), ('default', 'web-1', 'mode', 'readings', 0);
    INSERT INTO metrics (metric, kind) VALUES ('starts', 'counter'), ('mode', 'state');
    INSERT INTO progress (topic, partition, epoch, next_offset, owner, session)
    VALUES ('readings', 0, 1, 0, 'me', 'me');
"""
ROLLUP = """
    INSERT INTO rollup_closed_1h (bucket, readings, bad, sum, min, max, first, first_at, last, last_at,
                                  m2, increase, integral, series_id)
    SELECT at, 2, 0, 2 * value, value, value, value, at, value, at, 0, 0, 0, %(series)s
    FROM unnest(%(values)s::float8[]) WITH ORDINALITY AS each (value, nth),
         LATERAL (SELECT %(begin)s + (nth - 1) * INTERVAL '1 hour') AS hour (at)
"""
ALL = "SELECT series_id, issued_at, bucket, p10, p50, p90, model FROM forecasts ORDER BY 1, 2, 3"


def wave(days: int, seed: int) -> np.ndarray:
    hour = np.arange(days * 24)
    return 10 + 3 * np.sin(2 * np.pi * hour / 24) + np.random.default_rng(seed).normal(size=days * 24)


WAVES = {1: wave(DAYS + 1, 1), 2: wave(DAYS + 1, 2), 3: np.cumsum(np.abs(wave(DAYS + 1, 3)))}


@pytest.fixture
def filled(database: str) -> Iterator[psycopg.Connection]:
    """Yield the owner's connection: nine days of a gauge of two tenants and of a counter; a state."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("TRUNCATE series, metrics, progress, forecasts RESTART IDENTITY")
        owner.execute("TRUNCATE rollup_closed_1h; UPDATE raw_retention SET kept_from = '-infinity'")
        owner.execute(FILL)
        happen(owner, 0, DAYS)
        yield owner


def happen(owner: psycopg.Connection, since: int, until: int) -> None:
    """Store the hours of some days, and release them."""
    for series, values in WAVES.items():
        some = values[since * 24 : until * 24].tolist()
        owner.execute(ROLLUP, {"begin": BEGIN + timedelta(days=since), "values": some, "series": series})
    owner.execute("UPDATE progress SET released_to = %s", (BEGIN + timedelta(days=until, minutes=20),))


def streamgauge(dsn: str, *words: str, expect: int = 0) -> str:
    done = CliRunner().invoke(app, words, env={"COLUMNS": "160", "STREAMGAUGE_DATABASE_URL": dsn})
    assert done.exit_code == expect, (done.output, done.exception)
    return done.output if not isinstance(done.exception, UserError) else str(done.exception)


def test_what_was_forecast_is_stored_once_and_held_against_what_happened(
    database: str, filled: psycopg.Connection
) -> None:
    found = json.loads(streamgauge(database, "forecast", "run", "--processes", "1", "--json"))
    assert (found["series"], found["forecast"], found["not_forecast"]) == (3, 3, {}), "and no state"
    issued = filled.execute(ALL).fetchall()
    assert len(issued) == 3 * 24
    assert {(row[1], row[2] - ISSUED < 24 * HOUR) for row in issued} == {(ISSUED, True)}
    assert filled.execute("SELECT * FROM forecast_scores").fetchall() == []

    again = json.loads(streamgauge(database, "forecast", "run", "--processes", "1", "--json"))
    assert (again["issued_before"], again["forecast"]) == (3, 0)
    happen(filled, DAYS, DAYS + 1)
    filled.execute("UPDATE rollup_closed_1h SET sum = 2 * sum WHERE bucket < %s", (ISSUED - 24 * HOUR,))
    filled.execute("UPDATE progress SET released_to = %s", (ISSUED,))
    streamgauge(database, "forecast", "run", "--processes", "1")
    assert filled.execute(ALL).fetchall() == issued, "what was issued is not changed by what is known later"

    scores = filled.execute(
        "SELECT p10, p50, p90, actual, covered, scaled_error, pinball FROM forecast_scores"
        " WHERE tenant = 'default' AND metric = 'cpu' ORDER BY bucket"
    ).fetchall()
    p10, p50, p90, actual, covered, scaled, loss = (np.array(column) for column in zip(*scores, strict=True))
    scale = np.abs(WAVES[1][24 : DAYS * 24] - WAVES[1][: (DAYS - 1) * 24]).mean()
    np.testing.assert_allclose(actual, WAVES[1][DAYS * 24 :])
    np.testing.assert_array_equal(covered, (p10 <= actual) & (actual <= p90))
    np.testing.assert_allclose(scaled, np.abs(actual - p50) / scale)
    quantiles = zip(QUANTILES, (p10, p50, p90), strict=True)
    losses = [pinball(actual, each, share) for share, each in quantiles]
    np.testing.assert_allclose(loss, np.mean(losses, axis=0))

    ((hours, mase, coverage),) = filled.execute(
        "SELECT hours, mase, coverage FROM forecast_calibration WHERE tenant = 'default' AND metric = 'cpu'"
    ).fetchall()
    assert hours == 24
    assert (mase, coverage) == (pytest.approx(scaled.mean()), pytest.approx(covered.mean()))
    rises = filled.execute("SELECT actual FROM forecast_scores WHERE metric = 'starts' ORDER BY bucket")
    np.testing.assert_allclose([row[0] for row in rises], np.diff(WAVES[3])[DAYS * 24 - 1 :])

    assert_each_tenant_sees_its_own(database)
    filled.execute(
        """
        INSERT INTO anomalies
        SELECT %(at)s, %(at)s, NULL, 1, 2, 9, 7, 0, 1,
               gen_random_uuid(), 1, 0, 2, 1, false, 'open', '', '', ''
        """,
        {"at": ISSUED},
    )
    filled.execute("UPDATE raw_retention SET kept_from = '2026-03-01'")
    filled.execute("UPDATE progress SET released_to = '2026-03-02'")
    with store.open_session(database) as session:
        list(drop_rollups(session, ISSUED + timedelta(days=1900), Turn(session)))
    assert filled.execute("SELECT count(*) FROM forecasts").fetchall() == [(0,)]
    assert filled.execute("SELECT count(*) FROM anomalies").fetchall() == [(0,)]


def assert_each_tenant_sees_its_own(database: str) -> None:
    with tenant_reader(database, "acme") as dsn, psycopg.connect(dsn) as acme:
        for view in ("forecasts_named", "forecast_scores", "forecast_calibration"):
            assert acme.execute(f"SELECT DISTINCT tenant FROM {view}".encode()).fetchall() == [("acme",)]
    with psycopg.connect(as_reader(database)) as analyst:
        seen = analyst.execute("SELECT count(*), count(DISTINCT tenant) FROM forecasts_named").fetchall()
    assert seen == [(72, 2)]


def test_a_run_that_ended_goes_on_where_it_was(
    database: str, filled: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.forecast.run.predict_all", one_by_one)
    with store.open_session(as_writer(database)) as session:
        series = store.list_series(session, "*", "web-1", "*")
        begun = run(session, series, 24, processes=1)
        assert next(begun).forecast == 1
        begun.close()
        assert filled.execute("SELECT count(*) FROM forecasts").fetchall() == [(24,)]
        *_, report = run(session, series, 24, processes=1)
    assert (report.issued_before, report.forecast) == (1, 2)
    assert filled.execute("SELECT count(*) FROM forecasts").fetchall() == [(72,)]


def test_a_series_is_shown_with_its_trend_and_its_way_to_a_limit(
    database: str, filled: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.forecast.pool.predict_all", one_by_one)
    shown = json.loads(streamgauge(database, "forecast", "show", "web-1", "cpu", "--json"))
    assert shown["issued_at"] == "2026-01-14T00:00:00+00:00" and len(shown["hours"]) == 24
    limits = ("forecast", "trend", "web-1", "cpu", "--hours", "48", "--limit")
    reached = json.loads(streamgauge(database, *limits, "12", "--json"))["reached"]
    assert ISSUED.isoformat() < reached["p10"] <= reached["p50"]
    assert streamgauge(database, *limits, "1e6").count("none within 48 hours") == 3
    assert "no series default web-9" in streamgauge(database, "forecast", "show", "web-9", "cpu", expect=1)


def test_without_rollups_by_the_hour_it_says_what_to_do(database: str, filled: psycopg.Connection) -> None:
    filled.execute("TRUNCATE rollup_closed_1h, rollup_closed_1m, rollup_closed_15m, rollup_closed_1d")
    apply_levels(database, parse_levels("1m,15m,1d"))
    with pytest.raises(UserError, match="rollups by the hour"), store.open_session(database):
        pass
    apply_levels(database, LEVELS_US)
    with psycopg.connect(as_reader(database)) as analyst:
        assert analyst.execute("SELECT * FROM forecast_calibration").fetchall() == []
