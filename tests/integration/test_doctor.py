"""The doctor finds what is wrong, says what to do, and is content once it is done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from jobs.doctor import examine
from jobs.topics import TopicAdmin, plan, wanted_topics
from sinks.timescale.migrate import migrate
from streams.settings import Settings
from tests.databases import empty_database

pytestmark = pytest.mark.stack


@pytest.fixture
def settings(stack: Settings, database: str, new_topic: Callable[..., str]) -> Settings:
    """Settings with which nothing is wrong."""
    topic = new_topic()
    found = stack.model_copy(update={"database_url": SecretStr(database), "readings_topic": topic})
    topics = wanted_topics(found)
    admin = TopicAdmin(found.kafka)
    admin.apply(plan(topics, admin.find([each.name for each in topics])), topics)
    return found


def levels(settings: Settings, subject: str) -> set[str]:
    return {finding.level for finding in examine(settings) if finding.subject == subject}


def test_nothing_is_wrong_with_what_was_set_up(settings: Settings) -> None:
    findings = list(examine(settings))
    assert [finding for finding in findings if finding.level == "problem"] == []
    subjects = {finding.subject for finding in findings}
    assert {"python", "kafka", "topics", "postgres", "timescaledb", "migrations", "redis", "disk"} <= subjects


def test_the_edition_of_timescaledb_is_explained(settings: Settings) -> None:
    found = next(finding for finding in examine(settings) if finding.subject == "timescaledb")
    assert "edition" in found.detail


def test_who_listens_is_named(settings: Settings) -> None:
    listening = {finding.subject: finding.detail for finding in examine(settings)}
    assert settings.kafka in listening["listens: kafka"]


def test_a_halted_partition_is_a_problem_and_its_command_is_what_to_do(settings: Settings) -> None:
    assert levels(settings, "partitions") == {"ok"}
    reason = 'it was truncated. When you have decided: streamgauge resume t/3 --from earliest --why "..."'
    with psycopg.connect(settings.owner_dsn) as owner:
        owner.execute(
            "INSERT INTO halts (topic, partition, kind, reason) VALUES ('t', 3, 'truncated', %s)", [reason]
        )
    (found,) = [finding for finding in examine(settings) if finding.subject == "partitions"]
    assert (found.level, found.advice) == (
        "problem",
        'Run: streamgauge resume t/3 --from earliest --why "..."',
    )
    with psycopg.connect(settings.owner_dsn) as owner:
        owner.execute("DELETE FROM halts")


def test_a_missing_topic_is_a_problem(settings: Settings) -> None:
    assert levels(settings.model_copy(update={"readings_topic": "no.such.topic"}), "topics") == {"problem"}


def test_a_topic_with_fewer_partitions_than_declared_is_a_warning(settings: Settings) -> None:
    more = settings.model_copy(update={"readings_partitions": settings.readings_partitions + 1})
    assert levels(more, "topics") == {"warning"}


def test_a_database_without_the_schema_is_a_problem_until_it_is_migrated(settings: Settings) -> None:
    with empty_database() as dsn:
        bare = settings.model_copy(update={"database_url": SecretStr(dsn)})
        assert levels(bare, "migrations") == {"problem"}
        assert levels(bare, "timescaledb") == {"problem"}
        migrate(dsn)
        assert levels(bare, "migrations") == levels(bare, "timescaledb") == {"ok"}


def test_a_service_that_does_not_answer_spoils_only_its_own_checks(settings: Settings) -> None:
    broken = settings.model_copy(
        update={
            "kafka": "127.0.0.1:1",
            "database_url": SecretStr("postgresql://nobody@127.0.0.1:1/none"),
            "redis_url": SecretStr("redis://127.0.0.1:1/0"),
        }
    )
    findings = list(examine(broken))
    problems = {finding.subject: finding for finding in findings if finding.level == "problem"}
    assert {"kafka", "topics", "postgres", "redis"} <= set(problems)
    assert all(finding.advice for finding in findings if finding.level != "ok")
    assert {"python", "disk"} <= {finding.subject for finding in findings if finding.level == "ok"}


def test_the_verb_ends_with_one_when_something_is_wrong_and_prints_json(settings: Settings) -> None:
    def run(**environment: str) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli", "doctor", "--json"],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        answer: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, answer

    right = {
        "STREAMGAUGE_DATABASE_URL": settings.owner_dsn,
        "STREAMGAUGE_READINGS_TOPIC": settings.readings_topic,
    }
    code, answer = run(**right)
    assert (code, answer["ok"]) == (0, True), answer
    code, answer = run(**right, STREAMGAUGE_REDIS_URL="redis://127.0.0.1:1/0")
    assert (code, answer["ok"]) == (1, False)


def test_what_waits_too_long_to_be_sent_is_a_warning_and_what_was_refused_a_problem(
    settings: Settings,
) -> None:
    assert levels(settings, "outbox") == {"ok"}
    with psycopg.connect(settings.owner_dsn, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO outbox (event_id, topic, value, created_at)"
            " VALUES ('a', 'pumps', '', now() - INTERVAL '61 seconds')"
        )
        try:
            assert levels(settings, "outbox") == {"warning"}
            owner.execute("UPDATE outbox SET refused = 'Broker: Message size too large'")
            assert levels(settings, "outbox") == {"problem"}
        finally:
            owner.execute("TRUNCATE outbox")
