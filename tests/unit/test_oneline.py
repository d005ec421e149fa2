"""A sample in one line."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson

from jobs.top.health import Health
from jobs.top.metrics import Row, Series
from jobs.top.oneline import document, line
from jobs.top.view import Screen

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HEALTH = Health(
    rows_per_s=31.5,
    written=12_345,
    dead_letters=1,
    lag=None,
    duplicates=None,
    latency_p50_ms=38.0,
    latency_p99_ms=65.0,
    workers=({"owner": "a"},),
)


def _row(source: str, metric: str, unit: str, now: float) -> Row:
    return Row(Series(1, "default", source, metric, unit), now, 0.0, now / 2, now, ())


def test_a_line_says_how_the_pipeline_does_and_what_is_unknown() -> None:
    told = line(Screen(AT, HEALTH, (), 0, ("Kafka does not answer",)))

    assert "\n" not in told
    assert told == (
        "03:04:05 | Kafka does not answer | 31.5 readings/s | p50/p99 38/65 ms | lag – | written 12,345"
        " | duplicates – | dead letters 1 | workers 1"
    )


def test_the_headlines_of_a_host_come_first() -> None:
    rows = [
        _row("web-1", "a.first", "1", 1.0),
        _row("web-1", "system.cpu.utilization", "1", 0.25),
        _row("web-1/cpu=0", "system.cpu.utilization", "1", 0.5),
    ]

    assert line(Screen(AT, None, rows, 3)).endswith("| web-1 cpu.utilization 25% (1 min avg 12.5%)")


def test_without_a_host_the_first_metrics_are_told() -> None:
    rows = [_row("pump-1", f"metric-{n}", "Cel", float(n)) for n in range(5)]

    told = line(Screen(AT, None, rows, 5))

    assert "pump-1 metric-2 2°C" in told
    assert "metric-3" not in told


def test_as_json_everything_is_there_in_its_own_unit() -> None:
    told = orjson.loads(orjson.dumps(document(Screen(AT, HEALTH, [_row("a", "b", "By", 2048.0)], 7))))

    assert told["at"] == "2026-01-02T03:04:05.000+00:00"
    assert told["pipeline"]["rows_per_s"] == 31.5
    assert told["pipeline"]["lag"] is None
    assert told["pipeline"]["outbox"] == {"waiting": 0, "oldest_s": 0.0, "refused": 0}
    assert told["series"] == 7
    assert told["metrics"] == [
        {
            "tenant": "default",
            "source": "a",
            "metric": "b",
            "unit": "By",
            "now": 2048.0,
            "min": 0.0,
            "avg": 1024.0,
            "max": 2048.0,
        }
    ]


def test_as_json_no_answer_is_null() -> None:
    assert document(Screen(AT))["pipeline"] is None
