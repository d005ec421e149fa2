"""How long analysts' questions take: by our views and functions, in plain SQL, by continuous aggregates."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import psycopg
from psycopg.pq import ExecStatus

from jobs.benchmark.figures import Figure
from jobs.benchmark.fleet import fill
from jobs.benchmark.questions import KEEP, KEPT, LEVELS, OURS, PLAIN, QUESTIONS, Question
from jobs.benchmark.rounds import Contestant, Run, Say, compete
from jobs.scratch import as_reader, empty_database
from sinks.timescale.migrate import migrate
from sinks.timescale.session import Connection
from streams.errors import UserError

_EDITION = "SELECT current_setting('timescaledb.license')"
COMMUNITY = "timescale"


def measure(rows: int, series: int, rounds: int, say: Say) -> list[dict[str, Any]]:
    """Fill a database, ask each question as an analyst in each way it has, and return how long that took."""
    with empty_database("queries") as dsn:
        migrate(dsn)
        fill(dsn, rows, series, say)
        ways = {OURS, PLAIN, KEPT} if keep_aggregates(dsn, say) else {OURS, PLAIN}
        with psycopg.connect(as_reader(dsn), autocommit=True) as session:
            contestants = [
                Contestant(_name(question, way), partial(ask, session, sql))
                for question in QUESTIONS
                for way, sql in question.ways.items()
                if way in ways
            ]
            say("asking each once, to warm up")
            for contestant in contestants:
                contestant.run()
            runs = compete(contestants, rounds, say)
    return [summed_up(question, runs) for question in QUESTIONS]


def keep_aggregates(dsn: str, say: Say) -> bool:
    """Make and fill continuous aggregates, and tell whether this edition has them."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        ((edition,),) = owner.execute(_EDITION).fetchall()
        if edition != COMMUNITY:
            return False
        for level, width in LEVELS.items():
            say(f"continuous aggregate of {width}")
            owner.execute(KEEP.format(level=level, width=width).encode())
            owner.execute(f"GRANT SELECT ON kept_{level} TO streamgauge_reader".encode())
    return True


def ask(session: Connection, sql: str) -> Run:
    """Time a question until all of its answer is here, as text; what a program makes of that is not timed."""
    began_s = time.perf_counter()
    answer = session.pgconn.exec_(sql.encode())
    seconds = time.perf_counter() - began_s
    if answer.status != ExecStatus.TUPLES_OK:
        raise UserError(f"a question failed: {answer.error_message.decode()}", hint=f"It was:{sql}")
    return Run(readings=answer.ntuples, seconds=seconds)


def summed_up(question: Question, runs: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """Return what was promised of a question, and how long each of its ways took, in milliseconds."""
    ours = runs[_name(question, OURS)]
    figure = Figure.of(run.seconds * 1000 for run in ours)
    summary: dict[str, Any] = {
        "name": question.name,
        "bound_ms": question.bound_ms,
        "ours_ms": round(figure.median, 3),
        "lowest_ms": round(figure.lowest, 3),
        "highest_ms": round(figure.highest, 3),
        "rows": ours[0].readings,
    }
    for way in (PLAIN, KEPT):
        if some := runs.get(_name(question, way)):
            summary[f"{way}_ms"] = round(Figure.of(run.seconds * 1000 for run in some).median, 3)
    return summary


def _name(question: Question, way: str) -> str:
    return f"{question.name}, {way}"
