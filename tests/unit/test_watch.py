"""The live view goes on with what it has while the database is away."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from jobs.top.health import Health, HealthWatch, KafkaEnds, summarize
from jobs.top.metrics import MetricsReader
from jobs.top.view import Screen
from jobs.top.watch import Watch, trouble
from sinks.timescale.outbox import OutboxState

AT = datetime(2026, 1, 2, tzinfo=UTC)
NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"
HEALTH = summarize([], {}, [], None, [], {})


def _watch() -> Watch:
    metrics = MetricsReader(NO_DATABASE)
    ends = KafkaEnds("127.0.0.1:1", "any")
    health = HealthWatch("any", "group", metrics.query, ends, _no_workers, lambda: 0.0)
    return Watch(metrics, health, tenant=None, pattern="", clock=lambda: AT, monotonic_s=lambda: 0.0)


def _no_workers() -> list[dict[str, Any]]:
    return []


def test_while_the_database_is_away_the_former_screen_stays_and_says_so() -> None:
    former = Screen(AT, HEALTH, (), 5)

    screen = _watch().try_read(10, former)

    assert (screen.health, screen.series) == (HEALTH, 5)
    assert len(screen.trouble) == 1
    assert screen.trouble[0].startswith("TimescaleDB: ")


def test_a_sample_without_the_database_is_an_error() -> None:
    with pytest.raises(psycopg.OperationalError):
        _watch().read(10)


def test_what_needs_attention_is_told() -> None:
    halted: Health = summarize([], None, [], None, [], {"3": "offset 7 is not in the log"})

    late: Health = summarize([], {}, [], None, [], {}, OutboxState(7, 61.0, 2))

    odd: Health = summarize([], {}, [], None, [], {}, anomalies=["pump/rpm is anomalous"])

    assert trouble(HEALTH, 60.0) == ()
    assert trouble(odd, 60.0) == ("pump/rpm is anomalous",)
    assert trouble(late, 60.0) == (
        "7 messages wait in the outbox, the oldest for 61 s",
        "Kafka refused 2 messages of the outbox for good",
    )
    assert trouble(halted, 60.0) == (
        "partition 3 is halted: offset 7 is not in the log",
        "Kafka does not answer: streamgauge doctor",
    )
