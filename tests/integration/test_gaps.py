"""What metrics promise, where series were silent, and how much of a day they covered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg import errors

from sinks.timescale.levels import apply_levels
from sinks.timescale.session import Connection
from streams.core.batch import Points
from streams.core.levels import DAY_US, MINUTE_US, parse_levels
from tests.databases import as_reader
from tests.integration.rollups import START_US, History

pytestmark = pytest.mark.stack

START = datetime.fromtimestamp(START_US / 1e6, UTC)
ALL_DAY = START.date()


@pytest.fixture
def reader(database: str, writer: Connection) -> Iterator[psycopg.Connection[Any]]:
    """Yield an analyst's connection; a reading of the first of three series is expected each minute."""
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute("TRUNCATE metrics")
        owner.execute(
            "INSERT INTO metrics (metric, unit, expected_every) VALUES"
            " ('metric-1', 'Cel', '1 minute'), ('metric-2', 'kW.h', NULL)"
        )
    with psycopg.connect(as_reader(database), autocommit=True) as session:
        yield session


def send(history: History, minutes: list[int], bad: list[int] | None = None) -> None:
    """Store readings of the first series, so many minutes after the start, and release them."""
    time_us = np.array(minutes) * MINUTE_US + START_US
    quality = np.isin(minutes, bad or []).astype(np.int16) * 2
    count = len(minutes)
    history.flush(Points(np.full(count, 1, np.int32), time_us, np.ones(count), quality), int(time_us[-1]) + 1)


def minutes_after(*minutes: int) -> tuple[datetime, ...]:
    return tuple(START + timedelta(minutes=each) for each in minutes)


GAPS = "SELECT silent_from, silent_to FROM gaps(%s, %s) ORDER BY silent_from"


def test_a_series_is_silent_when_more_than_three_readings_in_a_row_do_not_come(
    reader: psycopg.Connection[Any], writer: Connection
) -> None:
    send(History(writer, 0), [0, 1, 4, 8, 9, 30, 31])

    assert reader.execute(GAPS, minutes_after(0, 33)).fetchall() == [
        minutes_after(4, 8),
        minutes_after(9, 30),
    ]
    # It began before, and is not over yet.
    assert reader.execute(GAPS, minutes_after(20, 25)).fetchall() == [minutes_after(9, 25)]
    assert reader.execute(GAPS, minutes_after(31, 35)).fetchall() == [minutes_after(31, 35)]
    assert reader.execute("SELECT count(*) FROM gaps(%s, %s, 30)", minutes_after(0, 40)).fetchall() == [(0,)]


@pytest.mark.parametrize("minutes", [5, 10 * 60, 3 * 24 * 60, 40 * 24 * 60])
def test_a_silence_that_began_before_is_told_from_its_begin(
    reader: psycopg.Connection[Any], writer: Connection, minutes: int
) -> None:
    send(History(writer, 0), [0, minutes, minutes + 1])
    asked = minutes_after(minutes - 1, minutes + 2)
    assert reader.execute(GAPS, asked).fetchall() == [minutes_after(0, minutes)]


def test_nothing_in_the_path_of_whoever_asks_stands_in_for_a_table(
    reader: psycopg.Connection[Any], writer: Connection
) -> None:
    send(History(writer, 0), [0, 20])
    with reader.transaction():
        reader.execute("SET TRANSACTION READ WRITE")
        reader.execute("CREATE TEMP TABLE metrics (tenant text, metric text, expected_every interval)")
        reader.execute("CREATE TEMP TABLE series (series_id int, tenant text, source text, metric text)")
        reader.execute("SET LOCAL search_path TO pg_temp, public")
        assert reader.execute(GAPS, minutes_after(0, 21)).fetchall() == [minutes_after(0, 20)]
        assert reader.execute("SELECT FROM coverage(%s, %s)", (ALL_DAY, ALL_DAY + timedelta(1))).rowcount == 1


def test_what_is_silent_now_is_seen_without_being_asked_for(
    reader: psycopg.Connection[Any], writer: Connection
) -> None:
    send(History(writer, 0), [0, 1])
    ((silent_from, lasts),) = reader.execute("SELECT silent_from, lasts FROM v_gaps").fetchall()
    assert silent_from == minutes_after(1)[0]
    assert lasts > timedelta(days=1)


@pytest.mark.parametrize("levels", ["1m,15m,1h,1d", "1m,4h"])
def test_a_day_is_covered_by_the_readings_that_are_not_bad(
    database: str, reader: psycopg.Connection[Any], writer: Connection, levels: str
) -> None:
    apply_levels(database, parse_levels(levels))
    send(History(writer, 0, parse_levels(levels)), [*range(60), 120, 121, 122], bad=[3, 121])
    assert DAY_US - START_US % DAY_US == 120 * MINUTE_US

    covered = "SELECT day, metric, readings, expected, covered FROM coverage(%s, %s) ORDER BY day"
    assert reader.execute(covered, (ALL_DAY, ALL_DAY + timedelta(days=3))).fetchall() == [
        (ALL_DAY, "metric-1", 59, 1440.0, 59 / 1440),
        (ALL_DAY + timedelta(days=1), "metric-1", 2, 1440.0, 2 / 1440),
        (ALL_DAY + timedelta(days=2), "metric-1", 0, 1440.0, 0.0),
    ]
    to_come = datetime.now(UTC).date() + timedelta(days=2)
    assert reader.execute(covered, (to_come, to_come + timedelta(days=1))).fetchall() == []


@pytest.mark.parametrize(
    ("told", "broken"),
    [
        ("unit = 'degrees Celsius'", "unit_is_ucum"),
        ("kind = 'guess'", "kind_is_known"),
        ("lowest = 2, highest = 1", "range_has_values"),
        ("expected_every = '0 s'", "expected_every_is_positive"),
    ],
)
def test_what_makes_no_sense_of_a_metric_is_refused_by_name(
    database: str, reader: psycopg.Connection[Any], told: str, broken: str
) -> None:
    with psycopg.connect(database) as owner, pytest.raises(errors.CheckViolation, match=broken):
        owner.execute(f"UPDATE metrics SET {told}".encode())
