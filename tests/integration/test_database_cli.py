"""The verbs of the database, as a user calls them."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from collections.abc import Iterator

import orjson
import pytest

from jobs.psql import psql_command, psql_environment
from sinks.protocols import Part
from sinks.timescale.sink import TimescaleSink
from streams.core.rejection import WHOLE_RECORD, Reason, Rejection
from streams.errors import UserError
from tests.builders import P0, columns, flush_of, series_table
from tests.databases import as_reader, as_writer, empty_database

pytestmark = pytest.mark.stack

LETTERS = [
    Rejection.of(3, WHOLE_RECORD, Reason.UNKNOWN_ENCODING, "first byte is 0xff [b]", bytes(range(256)) * 8),
    Rejection.of(4, 2, Reason.NOT_FINITE, "value is not finite", b'{"source": "pump-1"}'),
]


def streamgauge(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program against the database of ``dsn``."""
    return subprocess.run(
        [sys.executable, "-c", "from jobs.cli.main import main; main()", *arguments],
        env={
            **os.environ,
            "COLUMNS": "160",
            "STREAMGAUGE_DATABASE_URL": dsn,
            "STREAMGAUGE_READER_URL": as_reader(dsn),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def filled(database: str) -> Iterator[str]:
    sink = TimescaleSink(as_writer(database), "cli")
    sink.claim(P0, "cli", 0)
    sink.write(flush_of(series_table("rpm"), Part(P0, 1, 0, 5, [columns([0, 0])], LETTERS)))
    sink.close()
    yield database


def test_migrate_tells_what_it_would_do_then_does_it_then_has_nothing_to_do() -> None:
    with empty_database() as dsn:
        planned = orjson.loads(streamgauge(dsn, "migrate", "--dry-run", "--json").stdout)
        assert planned["dry_run"] is True
        done = streamgauge(dsn, "migrate")
        assert done.stdout.splitlines() == [f"applied {name}" for name in planned["migrations"]]
        assert (done.returncode, done.stderr) == (0, "")
        assert streamgauge(dsn, "migrate").stdout == "the database is up to date\n"
        assert orjson.loads(streamgauge(dsn, "migrate", "--json").stdout) == {
            "dry_run": False,
            "migrations": [],
            "levels_changed": False,
        }


def test_a_migration_that_cannot_be_is_one_sentence_and_an_exit_code() -> None:
    with empty_database() as dsn:
        result = streamgauge(as_writer(dsn), "migrate")
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "error: this user may not create the extension in this database",
        "As an administrator of this database, run: CREATE EXTENSION timescaledb;",
    ]


def test_a_database_that_is_away_is_a_sentence_and_exit_code_3() -> None:
    for arguments in (["migrate"], ["dead-letters", "list"], ["dead-letters", "show", "1"]):
        result = streamgauge("postgresql://127.0.0.1:1/none", *arguments)
        assert result.returncode == 3
        assert result.stderr.startswith("error: TimescaleDB: ")
        assert "Traceback" not in result.stderr


def test_dead_letters_are_listed_newest_first(filled: str) -> None:
    listed = orjson.loads(streamgauge(filled, "dead-letters", "list", "--json").stdout)
    assert [letter["reason"] for letter in listed] == ["not_finite", "unknown_encoding"]
    assert listed[0]["detail"] == "value is not finite"
    text = streamgauge(filled, "dead-letters", "list").stdout
    assert "readings/0@4" in text
    assert "first byte is 0xff [b]" in text


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--reason", "not_finite"], 1),
        (["--reason", "future"], 0),
        (["--topic", "readings"], 2),
        (["--topic", "other"], 0),
        (["-n", "1"], 1),
    ],
)
def test_the_list_can_be_narrowed(filled: str, arguments: list[str], count: int) -> None:
    assert (
        len(orjson.loads(streamgauge(filled, "dead-letters", "list", "--json", *arguments).stdout)) == count
    )


def test_a_dead_letter_is_shown_with_every_byte(filled: str) -> None:
    listed = orjson.loads(streamgauge(filled, "dead-letters", "list", "--json").stdout)
    number = str(listed[1]["id"])
    shown = orjson.loads(streamgauge(filled, "dead-letters", "show", number, "--json").stdout)
    assert base64.b64decode(shown["payload_base64"]) == LETTERS[0].payload
    text = streamgauge(filled, "dead-letters", "show", number).stdout
    assert "0010  10 11 12 13" in text
    assert "1024 bytes more" in text


def test_a_payload_of_json_is_shown_as_json(filled: str) -> None:
    listed = orjson.loads(streamgauge(filled, "dead-letters", "list", "--json").stdout)
    assert '  "source": "pump-1"' in streamgauge(filled, "dead-letters", "show", str(listed[0]["id"])).stdout


def test_a_dead_letter_that_is_not_there_is_an_error(filled: str) -> None:
    result = streamgauge(filled, "dead-letters", "show", "0")
    assert result.returncode == 1
    assert result.stderr.startswith("error: there is no dead letter 0")


def test_sql_opens_psql_as_an_analyst(filled: str) -> None:
    result = streamgauge(filled, "sql", "-At", "-c", "SELECT current_user, count(*) FROM readings_named")
    assert (result.stdout, result.returncode) == ("streamgauge_reader|2\n", 0)


def test_sql_passes_the_exit_code_of_psql_on(filled: str) -> None:
    assert streamgauge(filled, "sql", "-c", "SELECT * FROM dead_letters").returncode == 1


def test_without_a_psql_of_the_machine_that_of_the_stack_is_used(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    try:
        command = psql_command()
    except UserError as error:
        pytest.skip(f"the stack does not run from packages here: {error}")
    done = subprocess.run(
        [*command, "-At", "-c", "SELECT count(*) FROM readings_named"],
        env={**os.environ, **psql_environment(as_reader(filled))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("2\n", "")
