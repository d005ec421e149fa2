"""The thread that computes dirty buckets again: it tells what it did, tries again, and ends when told to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from sinks import refresher
from sinks.refresher import RollupRefresher
from sinks.timescale.derived import Derived
from sinks.timescale.refresh import BATCH, Refreshed, RollupState

DONE = [Refreshed("1m", marks=3, revised=2)]
WAITING = RollupState(waiting=3, oldest_s=1.5)


class Database:
    """Stands in for the database: it does something once, and fails before as often as told."""

    def __init__(self, failures: int = 0, problem: Exception | None = None) -> None:
        self.failures = failures
        self.problem = problem or psycopg.OperationalError("gone\n  away")
        self.most: list[int] = []
        self.asked = 0
        self.opened = 0
        self.is_done = threading.Event()

    @contextmanager
    def connect(self, dsn: str, owner: str) -> Iterator[Database]:
        assert (dsn, owner) == ("dsn", "rollups/me")
        self.opened += 1
        yield self

    def refresh_some(self, _: Database, most: int, told: object) -> list[Refreshed]:
        assert told is not None
        self.most.append(most)
        self.asked += 1
        if self.asked <= self.failures:
            raise self.problem
        if self.asked == self.failures + 1:
            return DONE
        self.is_done.set()
        return []


def run(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    failing: int = 0,
) -> tuple[list[Refreshed], list[RollupState]]:
    """Run a refresher until it finds nothing more to do; return what it told.

    So often it cannot compute derived metrics.
    """
    problems = [psycopg.OperationalError("gone")] * failing

    def derive(_: object) -> list[Derived]:
        if problems:
            raise problems.pop()
        return []

    counted: list[Refreshed] = []
    told: list[RollupState] = []
    monkeypatch.setattr(refresher, "connect", database.connect)
    monkeypatch.setattr(refresher, "refresh_some", database.refresh_some)
    monkeypatch.setattr(refresher, "read_state", lambda _: WAITING)
    monkeypatch.setattr(refresher, "TRY_AGAIN_S", 0.01)
    failures: list[None] = []
    thread = RollupRefresher(
        "dsn",
        "me",
        derive=derive,
        count=counted.extend,
        fail=lambda: failures.append(None),
        tell=told.append,
    )
    thread.start()
    assert database.is_done.wait(30)
    thread.stop(30)
    assert not thread._thread.is_alive()
    assert len(failures) == database.failures + failing
    return counted, told


def test_it_tells_what_it_did_and_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, told = run(Database(), monkeypatch)

    assert counted == DONE
    assert told == [WAITING]


def test_it_tries_again_by_a_new_session_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(failures=3)
    with caplog.at_level(logging.WARNING):
        counted, _ = run(database, monkeypatch)

    assert counted == DONE
    assert database.opened == 4
    assert caplog.messages == ["Dirty rollups wait: gone away"]


def test_it_takes_half_as_much_after_each_failure_and_one_mark_at_least(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database = Database(failures=12)
    run(database, monkeypatch)

    assert database.most[:12] == [1000, 500, 250, 125, 62, 31, 15, 7, 3, 1, 1, 1]


def test_no_error_ends_the_thread(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        counted, _ = run(Database(failures=2, problem=KeyError(7)), monkeypatch)

    assert counted == DONE
    assert caplog.messages == ["Dirty rollups wait: 7"]
    assert caplog.records[0].exc_info


def test_what_fails_of_derived_metrics_slows_no_rollups_down(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database()
    run(database, monkeypatch, failing=1)

    assert database.most[:2] == [1000, 1000]


@pytest.mark.parametrize(
    ("seconds", "marks", "then"),
    [(0.1, 1000, 2000), (0.1, 999, 1000), (1.0, 1000, 1000), (2.5, 1000, 500), (2.5, 3, 500)],
)
def test_marks_are_as_many_as_take_a_moment(seconds: float, marks: int, then: int) -> None:
    pace = refresher.Pace()
    pace.took(seconds, marks)

    assert pace.marks == then


def test_there_is_a_most() -> None:
    pace = refresher.Pace()
    for _ in range(20):
        pace.took(0.0, BATCH)

    assert pace.marks == BATCH
