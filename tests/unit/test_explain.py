"""What a user can put right is told in a sentence; a defect is not hidden."""

from __future__ import annotations

import psycopg
import pytest
import redis
from confluent_kafka import KafkaError, KafkaException

from jobs.cli.explain import explain
from sinks.protocols import SinkUnavailable
from streams.errors import UserError
from streams.settings import Settings


@pytest.mark.parametrize(
    ("error", "service"),
    [
        (psycopg.OperationalError("connection refused\nmore"), "TimescaleDB: connection refused"),
        (psycopg.errors.InsufficientPrivilege("permission denied"), "TimescaleDB: permission denied"),
        (SinkUnavailable("gone"), "TimescaleDB: gone"),
        (redis.ConnectionError("gone"), "Redis: gone"),
        (redis.TimeoutError(), "Redis: TimeoutError"),
        (
            KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)),
            "Kafka: Local: All broker connections are down",
        ),
    ],
)
def test_a_service_that_is_away_is_named(error: Exception, service: str) -> None:
    told = explain(error)

    assert told is not None
    assert str(told).startswith(service)
    assert "\n" not in str(told)
    assert told.exit_code == 3
    assert "streamgauge stack up" in told.hint


def test_a_database_without_tables_is_to_be_migrated() -> None:
    told = explain(psycopg.errors.UndefinedTable('relation "series" does not exist'))

    assert told is not None
    assert "streamgauge migrate" in told.hint
    assert told.exit_code == 1


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        open("/no/such/file")  # noqa: SIM115, PTH123

    told = explain(caught.value)

    assert told is not None
    assert str(told) == "No such file or directory: /no/such/file"
    assert told.exit_code == 1


def test_each_invalid_setting_is_one_line_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_FLUSH_ROWS", "0")
    monkeypatch.setenv("STREAMGAUGE_LOG_LEVEL", "secret-by-mistake")
    with pytest.raises(ValueError, match="flush_rows") as caught:
        Settings()

    told = explain(caught.value)

    assert told is not None
    assert [line.split(":")[0] for line in str(told).splitlines()] == [
        "STREAMGAUGE_FLUSH_ROWS",
        "STREAMGAUGE_LOG_LEVEL",
    ]
    assert "secret-by-mistake" not in str(told)
    assert told.exit_code == 2


def test_what_is_meant_for_the_user_stays_as_it_is() -> None:
    error = UserError("no", hint="do")

    assert explain(error) is error


def test_a_defect_is_not_explained_away() -> None:
    assert explain(KeyError("x")) is None
