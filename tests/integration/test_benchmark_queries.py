"""The benchmark of queries: a database as flushes leave it, and one answer in all ways of a question."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from jobs.benchmark.fleet import fill
from jobs.benchmark.queries import ask, keep_aggregates, summed_up
from jobs.benchmark.questions import OURS, PLAIN, QUESTIONS, Question
from jobs.benchmark.rounds import Run
from sinks.timescale.session import Connection
from streams.errors import UserError
from tests.databases import as_reader
from tests.integration.rollups import misrolled

pytestmark = pytest.mark.stack

ROWS, SERIES = 30_000, 1_000
SETTLED = 0.6
"""The share of an answer, from its end, where plain SQL has found a value before: it does not look back."""
COMPARED = [
    question for question in QUESTIONS if PLAIN in question.ways and question.name != "time_weighted_avg"
]


@pytest.fixture(scope="module")
def filled(database: str) -> str:
    assert fill(database, ROWS, SERIES, print) == pytest.approx(ROWS, rel=0.02)
    return database


@pytest.fixture
def analyst(filled: str) -> Iterator[Connection]:
    with psycopg.connect(as_reader(filled), autocommit=True) as session:
        yield session


def test_its_rollups_are_those_of_its_readings(filled: str) -> None:
    assert misrolled(filled) == {}


@pytest.mark.parametrize("question", COMPARED, ids=lambda question: str(question.name))
def test_plain_sql_finds_the_same(question: Question, analyst: Connection) -> None:
    ours, plain = (settled(analyst.execute(question.ways[way].encode()).fetchall()) for way in (OURS, PLAIN))
    assert ours
    assert len(ours) == len(plain)
    for one, other in zip(ours, plain, strict=True):
        assert [same(*pair) for pair in zip(one, other, strict=True)] == [True] * len(one), (one, other)


def settled(rows: list[Any]) -> list[Any]:
    return sorted(rows, key=repr) if len(rows) >= SERIES else rows[-math.ceil(len(rows) * SETTLED) :]


def same(one: Any, other: Any) -> bool:
    return math.isclose(one, other, rel_tol=1e-9) if isinstance(one, float) else bool(one == other)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: str(question.name))
def test_each_question_is_answered_and_timed(question: Question, analyst: Connection) -> None:
    run = ask(analyst, question.ways[OURS])
    assert run.readings > 0
    assert run.seconds > 0


def test_a_question_that_fails_says_why(analyst: Connection) -> None:
    with pytest.raises(UserError, match="division by zero"):
        ask(analyst, "SELECT 1 / 0")


def test_continuous_aggregates_are_asked_where_there_are_some(filled: str) -> None:
    with psycopg.connect(filled) as owner:
        ((edition,),) = owner.execute("SELECT current_setting('timescaledb.license')").fetchall()
    assert keep_aggregates(filled, print) is (edition == "timescale")


def test_what_is_told_is_the_median_in_milliseconds_of_each_way() -> None:
    question = Question("latest", 200, {OURS: "", PLAIN: ""})
    ours = [Run(5, seconds) for seconds in (0.3, 0.1, 0.2)]
    told = summed_up(question, {"latest, ours": ours, "latest, plain": [Run(5, 1.5)]})
    assert told == {
        "name": "latest",
        "bound_ms": 200,
        "ours_ms": 200,
        "lowest_ms": 100,
        "highest_ms": 300,
        "rows": 5,
        "plain_ms": 1500,
    }
