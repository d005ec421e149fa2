"""The live view for pipes: one line a sample, for people or as JSON."""

from __future__ import annotations

from typing import Any

from jobs.top.metrics import Row
from jobs.top.quantity import compact, number
from jobs.top.view import Screen

HEADLINES = ("system.cpu.utilization", "system.memory.utilization", "system.cpu.load_average.1m")
_MOST = 3


def line(screen: Screen) -> str:
    """Return one sample as a line: how the pipeline does, then a few metrics."""
    parts = [f"{screen.at:%H:%M:%S}", *screen.trouble]
    if health := screen.health:
        latency = f"{_told(health.latency_p50_ms)}/{_told(health.latency_p99_ms)} ms"
        parts += [
            f"{_told(health.rows_per_s)} readings/s",
            f"p50/p99 {latency}",
            f"lag {_told(health.lag)}",
            f"written {_told(health.written)}",
            f"duplicates {_told(health.duplicates)}",
            f"dead letters {_told(health.dead_letters)}",
            f"workers {len(health.workers)}",
        ]
    told = [row for row in screen.rows if row.series.metric in HEADLINES and "/" not in row.series.source]
    parts += [_headline(row) for row in (told or screen.rows)[:_MOST]]
    return " | ".join(parts)


def _headline(row: Row) -> str:
    series = row.series
    now, mean = (compact(value, series.unit, series.metric) for value in (row.now, row.mean))
    return f"{series.source} {series.metric.removeprefix('system.')} {now} (1 min avg {mean})"


def document(screen: Screen) -> dict[str, Any]:
    """Return one sample as what JSON can hold; values are in the series' own units."""
    health = screen.health
    return {
        "at": screen.at.isoformat(timespec="milliseconds"),
        "trouble": list(screen.trouble),
        "pipeline": None
        if health is None
        else {
            "rows_per_s": health.rows_per_s,
            "written": health.written,
            "dead_letters": health.dead_letters,
            "duplicates": health.duplicates,
            "lag": health.lag,
            "latency_p50_ms": health.latency_p50_ms,
            "latency_p99_ms": health.latency_p99_ms,
            "workers": [dict(worker) for worker in health.workers],
            "halted": dict(health.halted),
            "outbox": health.outbox._asdict(),
        },
        "series": screen.series,
        "metrics": [
            {
                "tenant": row.series.tenant,
                "source": row.series.source,
                "metric": row.series.metric,
                "unit": row.series.unit,
                "now": row.now,
                "min": row.low,
                "avg": row.mean,
                "max": row.high,
            }
            for row in screen.rows
        ],
    }


def _told(value: float | None) -> str:
    return "–" if value is None else number(value)
