"""The functions for analysts return what a plain program works out of the same readings."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import errors

from tests.integration import sql_oracle as oracle
from tests.integration.sql_oracle import DAY_US, SECOND_US, Maybe

pytestmark = pytest.mark.stack

EXAMPLES = 40
HOUR_US = 3_600 * SECOND_US
START = datetime(2026, 10, 23, tzinfo=UTC)
"""Two days before clocks in Berlin are put back."""
START_US = int(START.timestamp()) * SECOND_US
DAYS = 5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Reading = tuple[int, float, int]


class Question(NamedTuple):
    """What the functions are asked of some readings; times are microseconds."""

    readings: list[Reading]
    since: int
    until: int
    width: int | None
    zone: str
    reach: int

    @property
    def points(self) -> list[oracle.Point]:
        return oracle.usable(self.readings)

    @property
    def begins(self) -> list[int]:
        return oracle.grid(self.since, self.until, self.width, self.zone)


quarters = st.integers(0, DAYS * 96).map(lambda nth: START_US + nth * 900 * SECOND_US)
odd_times = st.integers(START_US, START_US + DAYS * DAY_US - 1)
times = st.one_of(quarters, odd_times)
values = st.one_of(
    st.integers(0, 50).map(float),
    st.integers(-50, 50).map(float),
    st.floats(-1e6, 1e6),
    st.sampled_from([math.nan, math.inf, -math.inf, 1e139, -1e200, 1e-300, 5e-324]),
)
qualities = st.sampled_from([0, 0, 0, 1, 2])
gaps_us = st.sampled_from([1, SECOND_US, HOUR_US // 4, HOUR_US, 3 * HOUR_US, 20 * HOUR_US, 25 * HOUR_US])


@st.composite
def walks(draw: st.DrawFn) -> list[Reading]:
    """Draw readings one after the other, some with a value that says nothing."""
    time, found = START_US, []
    for gap, value, quality in draw(st.lists(st.tuples(gaps_us, values, qualities), max_size=25)):
        time += gap
        if time < START_US + DAYS * DAY_US:
            found.append((time, value, quality))
    return found


@st.composite
def questions(draw: st.DrawFn, narrow: bool = False) -> Question:
    since, until = sorted((draw(times), draw(times)))
    readings = draw(walks())
    if draw(st.booleans()) and readings:
        since, until = sorted((readings[draw(st.integers(0, len(readings) - 1))][0], until))
    widths = st.sampled_from([HOUR_US, 7 * HOUR_US, DAY_US])
    return Question(
        readings,
        since,
        until,
        draw(widths if narrow else st.one_of(st.none(), widths)),
        draw(st.sampled_from(["UTC", "Europe/Berlin"])),
        draw(st.sampled_from([0, HOUR_US, DAY_US])),
    )


def at(time_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=time_us)


def us(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


def wide(width_us: int | None) -> str | None:
    return None if width_us is None else "1 day" if width_us == DAY_US else f"{width_us} microseconds"


def same(found: Maybe, wanted: Maybe) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-9)


class Base:
    """A database in which each question finds its readings alone."""

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._session = session

    def ask(
        self, query: str, arguments: Sequence[object], *series: Sequence[Reading]
    ) -> list[tuple[Any, ...]]:
        """Return what ``query`` returns while series 1, 2, ... have these readings."""
        with self._session.transaction(force_rollback=True):
            rows = [
                (at(time), value, number, quality)
                for number, readings in enumerate(series, 1)
                for time, value, quality in readings
            ]
            self._session.cursor().executemany(
                "INSERT INTO readings (ts, value, series_id, quality) VALUES (%s, %s, %s, %s)", rows
            )
            return self._session.execute(query.encode(), arguments).fetchall()

    def ask_of_many(self, count: int, query: str, arguments: Sequence[object]) -> list[tuple[Any, ...]]:
        """Return what ``query`` returns while series 1 has so many readings, a millisecond apart."""
        with self._session.transaction(force_rollback=True):
            self._session.execute(
                "INSERT INTO readings"
                " SELECT %s + n * INTERVAL '1 ms', 1, 1, 0 FROM generate_series(1, %s) AS n",
                (START, count),
            )
            return self._session.execute(query.encode(), arguments).fetchall()

    def buckets(self, since: int, until: int, width: str, zone: str) -> list[int]:
        """Return the begins of buckets."""
        ((begins,),) = self.ask("SELECT buckets(%s, %s, %s, %s)", (at(since), at(until), width, zone))
        return [us(begin) for begin in begins]

    def bucketed(self, function: str, question: Question) -> tuple[list[int], list[Maybe]]:
        """Return the buckets of a function and their values."""
        rows = self.ask(
            f"SELECT bucket, value FROM {function}(1, %s, %s, %s, %s, %s)",
            (
                at(question.since),
                at(question.until),
                wide(question.width),
                question.zone,
                wide(question.reach) if question.reach != DAY_US else "24 hours",
            ),
            question.readings,
        )
        return [us(bucket) for bucket, _ in rows], [value for _, value in rows]


@pytest.fixture(scope="module")
def base(database: str) -> Iterator[Base]:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("SET timezone TO 'Europe/Berlin'")
        session.execute(
            "INSERT INTO series (tenant, source, metric)"
            " SELECT 'default', 's', 'm' || n FROM generate_series(1, 3) AS n"
        )
        # Chunks are there before the first question: making them takes longer than all else.
        session.execute(
            "INSERT INTO readings"
            " SELECT %s + make_interval(days => n), 1, 3, 0 FROM generate_series(0, %s) AS n",
            (START, DAYS),
        )
        yield Base(session)


Oracle = Callable[[Sequence[oracle.Point], int, int, Sequence[int], int], list[Maybe]]


def check(base: Base, function: str, wanted: Oracle, question: Question) -> None:
    begins, found = base.bucketed(function, question)
    assert begins == question.begins
    expected = wanted(question.points, question.since, question.until, question.begins, question.reach)
    assert all(map(same, found, expected)), (found, expected)


@pytest.mark.parametrize(
    ("function", "wanted"),
    [("rate", oracle.rate), ("delta", oracle.delta), ("time_weighted_avg", oracle.time_weighted_avg)],
)
def test_what_is_computed_of_neighbours(base: Base, function: str, wanted: Oracle) -> None:
    @settings(max_examples=EXAMPLES)
    @given(questions())
    def agrees(question: Question) -> None:
        check(base, function, wanted, question)

    agrees()


@pytest.mark.parametrize(("function", "wanted"), [("locf", oracle.locf), ("interpolate", oracle.interpolate)])
def test_what_fills_gaps(base: Base, function: str, wanted: Oracle) -> None:
    @settings(max_examples=EXAMPLES)
    @given(questions(narrow=True))
    def agrees(question: Question) -> None:
        check(base, function, wanted, question)

    agrees()


def test_gaps_are_shown(base: Base) -> None:
    @settings(max_examples=EXAMPLES)
    @given(questions(narrow=True))
    def agrees(question: Question) -> None:
        rows = base.ask(
            "SELECT bucket, value, readings FROM gapfill(1, %s, %s, %s, %s)",
            (at(question.since), at(question.until), wide(question.width), question.zone),
            question.readings,
        )
        assert [us(bucket) for bucket, _, _ in rows] == question.begins
        means = oracle.gapfill(question.points, question.since, question.until, question.begins)
        assert all(same(found, mean) for (_, found, _), mean in zip(rows, means, strict=True))
        counted = sum(question.since <= time < question.until for time, _, _ in question.readings)
        assert sum(count for _, _, count in rows) == counted, "bad ones among them"

    agrees()


def test_as_of(base: Base) -> None:
    @settings(max_examples=EXAMPLES)
    @given(questions(), walks())
    def agrees(question: Question, others: list[Reading]) -> None:
        since, until, reach = question.since, question.until, question.reach
        rows = base.ask(
            "SELECT * FROM asof_join(1, 2, %s, %s, %s)",
            (at(since), at(until), f"{reach} microseconds"),
            question.readings,
            others,
        )
        found = [(us(ts), value, other and us(other), held) for ts, value, other, held in rows]
        assert found == oracle.asof_join(question.points, oracle.usable(others), since, until, reach)

    agrees()


whole_seconds = st.integers(0, DAYS * 86_400 - 1).map(lambda second: START_US + second * SECOND_US)
plotted = st.lists(
    st.tuples(whole_seconds, st.integers(-20, 20).map(float), qualities),
    max_size=60,
    unique_by=lambda reading: reading[0],
)


def test_what_is_plotted(base: Base) -> None:
    @settings(max_examples=EXAMPLES)
    @given(plotted, st.integers(3, 20), st.booleans())
    def agrees(readings: list[Reading], most: int, part: bool) -> None:
        since, until = START_US + part * DAY_US, START_US + DAYS * DAY_US
        rows = base.ask("SELECT * FROM lttb(1, %s, %s, %s)", (at(since), at(until), most), readings)
        found = [(us(ts), value) for ts, value in rows]
        assert found == oracle.lttb(oracle.usable(readings), since, until, most)

    agrees()


@given(start=times, length=st.integers(0, 3 * DAY_US))
@settings(max_examples=EXAMPLES)
@example(start=START_US + 2 * DAY_US + HOUR_US // 2, length=2 * HOUR_US)  # an hour that Berlin has twice
def test_each_time_is_in_a_bucket(base: Base, start: int, length: int) -> None:
    for width, zone in (("1 hour", "Europe/Berlin"), ("1 day", "Europe/Berlin"), ("1 month", "Asia/Kolkata")):
        begins = base.buckets(start, start + length, width, zone)
        assert begins == sorted(set(begins))
        assert not begins or (begins[0] <= start and begins[-1] < start + length)
        assert bool(begins) == (length > 0)


def test_a_day_that_begins_twice_is_one_bucket(base: Base) -> None:
    """On the Azores the clock is put back from one to midnight: the day begins, and begins again."""
    second_us = START_US + 2 * DAY_US + HOUR_US
    for since in (second_us - HOUR_US // 2, second_us):
        begins = base.buckets(since, second_us + 2 * DAY_US, "1 day", "Atlantic/Azores")
        assert begins == [since, second_us + DAY_US]


@pytest.mark.parametrize(
    ("zone", "day"), [("Africa/Cairo", "2026-04-24"), ("America/Santiago", "2026-09-06")]
)
def test_a_day_without_a_midnight_moves_no_other(base: Base, zone: str, day: str) -> None:
    since = us(datetime.fromisoformat(day).replace(tzinfo=UTC)) - DAY_US
    begins = base.buckets(since, since + 5 * DAY_US, "1 day", zone)
    assert begins == oracle.grid(since, since + 5 * DAY_US, DAY_US, zone)
    local = [at(begin).astimezone(ZoneInfo(zone)) for begin in begins]
    assert [begin.strftime("%Y-%m-%d %H") for begin in local if begin.hour] == [f"{day} 01"]


def test_days_of_a_zone_have_23_to_25_hours(base: Base) -> None:
    midnight_us = START_US + 2 * DAY_US - 2 * HOUR_US
    begins = base.buckets(midnight_us, midnight_us + 2 * DAY_US, "1 day", "Europe/Berlin")
    assert begins == [midnight_us, midnight_us + 25 * HOUR_US]


def test_the_same_reading_twice_changes_nothing_over_time(base: Base) -> None:
    once = [(START_US + nth * HOUR_US, float(value), 0) for nth, value in enumerate([5, 9, 2, 7])]
    for function in ("rate", "delta", "time_weighted_avg"):
        query = f"SELECT value FROM {function}(1, %s, %s, '2 hours')"
        span = (at(START_US), at(START_US + 6 * HOUR_US))
        assert base.ask(query, span, once) == base.ask(query, span, once * 2), function
    assert base.ask("SELECT value FROM lttb(1, %s, %s, 3)", span, once * 2)


def test_a_meter_that_is_read_about_once_a_day_loses_nothing(base: Base) -> None:
    """Only the value before the time asked for may be too old: between those in it nothing is left out."""
    meter = [
        (START_US + day * DAY_US + late * HOUR_US, 10.0 * day, 0) for day, late in enumerate([0, 2, 5, 4])
    ]
    span = (at(START_US + HOUR_US), at(START_US + 4 * DAY_US))
    assert base.ask("SELECT value FROM delta(1, %s, %s)", span, meter) == [(30.0,)]
    by_day = base.ask("SELECT increase FROM changes(1, %s, %s, '1 day')", (at(START_US), span[1]), meter)
    assert [rise for (rise,) in by_day] == [None, 10.0, 10.0, 10.0]


@pytest.mark.parametrize(("hours", "value"), [(24, 3.0), (25, None)])
def test_a_value_counts_for_24_hours_whatever_day_the_session_is_in(
    base: Base, hours: int, value: Maybe
) -> None:
    """In the session's time zone, Berlin's, this day has 25 hours."""
    end = START_US + 3 * DAY_US
    one = [(end - hours * HOUR_US, 3.0, 0)]
    span = (at(end), at(end + HOUR_US))
    assert base.ask("SELECT value FROM locf(1, %s, %s, '1 hour')", span, one) == [(value,)]
    assert base.ask("SELECT count(*) FROM history(1, %s, %s)", span, one) == [(int(value is not None),)]


def test_a_single_reading(base: Base) -> None:
    one = [(START_US + HOUR_US, 4.0, 0)]
    span = (at(START_US), at(START_US + 2 * HOUR_US))
    for function, value in (("rate", None), ("delta", None), ("time_weighted_avg", 4.0)):
        assert base.ask(f"SELECT value FROM {function}(1, %s, %s)", span, one) == [(value,)]
    assert base.ask("SELECT value FROM lttb(1, %s, %s, 9)", span, one) == [(4.0,)]
    assert base.ask("SELECT other_value FROM asof_join(1, 2, %s, %s)", span, one) == [(None,)]


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        (
            "gapfill(1, '2000-01-01', '2026-01-01', '1 second')",
            errors.ProgramLimitExceeded,
            "more than 100000 buckets",
        ),
        ("locf(1, '2026-01-02', '2026-01-01', '1 hour')", errors.InvalidParameterValue, "is after until"),
        ("interpolate(1, '2026-01-01', 'infinity', '1 hour')", errors.InvalidParameterValue, "be finite"),
        ("rate(1, '2026-01-01', NULL)", errors.InvalidParameterValue, "must be given"),
        (
            "delta(1, '2026-01-01', '2026-01-02', '0')",
            errors.InvalidParameterValue,
            "cannot be 00:00:00 wide",
        ),
        ("delta(1, '2026-01-01', '2026-01-02', '-1 hour')", errors.InvalidParameterValue, "wide"),
        (
            "rate(1, '2026-01-01', '2026-01-02', '1 day', 'Mars/Base')",
            errors.InvalidParameterValue,
            "Mars/Base",
        ),
        (
            "lttb(1, '2026-01-01', '2026-01-02', 2)",
            errors.InvalidParameterValue,
            "3 to 100,000 points, not 2",
        ),
        ("lttb(1, '-infinity', '2026-01-02', 9)", errors.InvalidParameterValue, "be finite"),
        *(
            (f"{asked}, reach => {reach})", errors.InvalidParameterValue, "cannot count for")
            for asked in (
                "history(1, '2026-01-01', '2026-01-02'",
                *(
                    f"{name}(1, '2026-01-01', '2026-01-02', '1 day'"
                    for name in ("locf", "interpolate", "delta", "rate", "changes", "time_weighted_avg")
                ),
                "asof_join(1, 2, '2026-01-01', '2026-01-02'",
            )
            for reach in ("NULL", "'-1 second'")
        ),
        ("series('s', 'missing')", errors.NoDataFound, "no series of metric 'missing' of source 's'"),
        ("series(NULL, 'm1')", errors.NoDataFound, "of source NULL"),
    ],
)
def test_what_cannot_be_answered_is_an_error(
    base: Base, asked: str, error: type[psycopg.Error], said: str
) -> None:
    with pytest.raises(error, match=said):
        base.ask(f"SELECT * FROM {asked}", ())


def test_too_many_readings_for_a_plot_are_an_error(base: Base) -> None:
    query = "SELECT * FROM lttb(1, %s, %s, 100)"
    with pytest.raises(errors.ProgramLimitExceeded, match="more than 1000000 readings"):
        base.ask_of_many(1_000_001, query, (START, at(START_US + DAY_US)))


def test_the_catalogue_and_the_latest_readings(base: Base) -> None:
    readings = [(START_US + HOUR_US, 1.5, 0), (START_US + 30 * HOUR_US, math.nan, 2)]
    latest = base.ask("SELECT metric, ts, value, quality FROM latest WHERE series_id < 3", (), readings)
    assert latest == [("m1", at(START_US + 30 * HOUR_US), None, 2)]
    listed = base.ask(
        "SELECT metric, first_ts, last_ts FROM series_catalogue WHERE series_id < 3 ORDER BY 1", (), readings
    )
    assert listed == [("m1", at(START_US + HOUR_US), at(START_US + 30 * HOUR_US)), ("m2", None, None)]
