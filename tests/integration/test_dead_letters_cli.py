"""``streamgauge dead-letters replay`` and ``discard``, as an operator calls them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest

from sinks.protocols import Part
from sinks.timescale.sink import TimescaleSink
from streams.core.rejection import WHOLE_RECORD, Reason, Rejection
from tests.builders import P1, flush_of, series_table
from tests.databases import as_writer
from tests.integration.test_database_cli import streamgauge

pytestmark = pytest.mark.stack

LETTERS = [
    Rejection.of(3, WHOLE_RECORD, Reason.UNKNOWN_SCHEMA, "not a schema of this program", b"\xc3\x01" * 9),
    Rejection.of(4, 2, Reason.FUTURE, "an hour ahead", b'{"source":"pump-1"}'),
    Rejection.of(5, WHOLE_RECORD, Reason.TOO_LARGE, "2,000,000 bytes", b"x" * 2_000_000),
    Rejection.of(6, WHOLE_RECORD, Reason.EMPTY, "no value", b""),
]


class Letters:
    """Four dead letters of a database, and what became of them."""

    def __init__(self, dsn: str, session: psycopg.Connection[Any]) -> None:
        self.dsn = dsn
        self.session = session
        (self.schema, self.future, self.large, self.empty) = (
            str(number) for (number,) in session.execute("SELECT id FROM dead_letters ORDER BY id")
        )

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        return streamgauge(self.dsn, "dead-letters", *words)

    def states(self) -> dict[str, str]:
        return {
            str(number): state for number, state in self.session.execute("SELECT id, state FROM dead_letters")
        }

    def sent(self) -> list[tuple[Any, ...]]:
        return self.session.execute(
            "SELECT event_id, topic, partition, value FROM outbox WHERE event_id LIKE 'dead-letter/%'"
            " ORDER BY id"
        ).fetchall()


@pytest.fixture
def letters(database: str) -> Iterator[Letters]:
    with psycopg.connect(database, autocommit=True) as session:
        session.execute("TRUNCATE dead_letters, outbox, progress")
        sink = TimescaleSink(as_writer(database), "cli")
        sink.claim(P1, "cli", 0)
        sink.write(flush_of(series_table(), Part(P1, 1, 0, 7, [], list(LETTERS))))
        sink.close()
        yield Letters(database, session)


def test_what_is_named_is_sent_again_to_where_it_came_from(letters: Letters) -> None:
    done = letters.cli("replay", letters.future, letters.schema)
    assert (done.stdout, done.stderr, done.returncode) == ("replayed 2 dead letters\n", "", 0)
    assert letters.sent() == [
        (f"dead-letter/{letters.schema}", "readings", 1, b"\xc3\x01" * 9),
        (f"dead-letter/{letters.future}", "readings", 1, b'{"source":"pump-1"}'),
    ]
    assert letters.states() == {
        letters.schema: "replayed",
        letters.future: "replayed",
        letters.large: "open",
        letters.empty: "open",
    }
    shown = orjson.loads(letters.cli("show", letters.schema, "--json").stdout)
    assert shown["state_at"] is not None
    assert "@" in shown["state_by"]


def test_a_second_replay_must_be_meant(letters: Letters) -> None:
    assert letters.cli("replay", letters.future).returncode == 0
    again = letters.cli("replay", letters.future)
    assert again.returncode == 1
    assert again.stderr.startswith(f"error: dead letter {letters.future} was replayed by ")
    assert len(letters.sent()) == 1
    assert letters.cli("replay", letters.future, "--again").returncode == 0
    assert len(letters.sent()) == 2


def test_what_was_cut_is_not_sent_and_its_record_is_named(letters: Letters) -> None:
    refused = letters.cli("replay", letters.schema, letters.large)
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        f"error: dead letter {letters.large} cannot be replayed: 65,536 of its 2,000,000 bytes are kept",
        "Its record is in readings, partition 1, offset 5, for as long as Kafka keeps it.",
    ]
    assert letters.sent() == []
    by_topic = letters.cli("replay", "--topic", "readings", "--yes")
    assert by_topic.stdout == "replayed 2 dead letters (2 more are cut or empty, and stay as they are)\n"


def test_many_are_asked_about_and_no_is_no(letters: Letters) -> None:
    for words in (("replay", "--partition", "1"), ("discard", "--partition", "1", "--why", "test")):
        asked = letters.cli(*words)
        assert asked.returncode == 1
        assert "[y/N]" in asked.stderr
    assert letters.sent() == []
    assert set(letters.states().values()) == {"open"}


@pytest.mark.parametrize(
    "words",
    [
        ["replay"],
        ["replay", "--yes", "--again"],
        ["discard", "--why", "test"],
        ["discard", "1"],
        ["replay", "--reason", "future", "--revision", "1"],
        ["replay", "--since", "yesterday"],
    ],
)
def test_what_is_not_said_is_not_guessed(letters: Letters, words: list[str]) -> None:
    assert letters.cli(*words).returncode == 2
    assert set(letters.states().values()) == {"open"}


@pytest.mark.parametrize("words", [["replay", "0"], ["discard", "0", "--why", "test"]])
def test_a_letter_that_is_not_there_is_an_error(letters: Letters, words: list[str]) -> None:
    done = letters.cli(*words)
    assert (done.returncode, done.stderr.splitlines()[0]) == (1, "error: there is no dead letter 0")


def test_only_a_conflict_becomes_a_correction(letters: Letters) -> None:
    done = letters.cli("replay", letters.future, "--revision", "1")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: dead letter {letters.future} is no conflict but future\n")


def test_what_is_discarded_says_who_and_why_and_is_not_replayed(letters: Letters) -> None:
    done = letters.cli("discard", "--since", "1h", "--why", "test device", "--by", "me", "--yes", "--json")
    assert orjson.loads(done.stdout) == {"discarded": 4}
    listed = orjson.loads(letters.cli("list", "--state", "discarded", "--json").stdout)
    assert {(letter["state_by"], letter["state_why"]) for letter in listed} == {("me", "test device")}
    assert letters.cli("replay", "--since", "1h", "--yes").stdout == "replayed 0 dead letters\n"
    assert letters.cli("discard", letters.empty, "--why", "again").stdout == "discarded 0 dead letters\n"
    assert letters.sent() == []


def test_thousands_are_replayed_in_the_order_they_came_in(letters: Letters) -> None:
    letters.session.execute(
        """
        INSERT INTO dead_letters (topic, partition, "offset", index, reason, detail, payload, payload_bytes)
        SELECT 'many', 0, n, -1, 'unknown_schema', '', convert_to(n::text, 'UTF8'), length(n::text)
        FROM generate_series(1, 2500) AS n
        """
    )
    done = letters.cli("replay", "--topic", "many", "--yes")
    assert done.stdout == "replayed 2,500 dead letters\n"
    assert [int(value) for *_, value in letters.sent()] == list(range(1, 2501))
