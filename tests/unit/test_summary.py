"""A report becomes tables and a plot that fits what was measured."""

from __future__ import annotations

from io import StringIO
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from jobs.benchmark.report import Report
from jobs.benchmark.summary import plot_of, tables_of

MACHINE = {"cores": 2, "cpu": "Test", "commit": "abc", "at": "2026-01-31T12:00:00"}
RATE = {"readings_per_s": 500_000, "lowest": 490_000, "highest": 510_000}
RESULTS: dict[str, list[dict[str, Any]]] = {
    "pipeline": [
        {"name": "raw_copy", **RATE},
        {"name": "decode_batched", **RATE},
        {
            "name": "batched",
            **RATE,
            "share_of_raw_copy": 0.91,
            "cpu_s_per_million": {"worker": 0.4},
            "stages_us_per_reading": {"elapsed": {"copy": 1.2}, "cpu": {"copy": 0.1, "fetch": 0.07}},
        },
    ],
    "latency": [
        {
            "name": "20,000/s",
            **RATE,
            "p50_ms": 30.0,
            "p99_ms": 60.0,
            "p99.9_ms": 80.0,
            "max_ms": 90.0,
            "samples": 3_000,
            "derived_p50_ms": 35.0,
            "derived_p99_ms": 66.5,
            "derived_p99.9_ms": 85.0,
            "lag_s": 0.125,
        }
    ],
    "queries": [
        {
            "name": "1 h of a site",
            "bound_ms": 50,
            "ours_ms": 12.5,
            "lowest_ms": 10.0,
            "highest_ms": 25.0,
            "plain_ms": 800.0,
            "rows": 25,
        }
    ],
    "micro": [{"name": "validate", "ns_per_reading": 12.0, "lowest": 11.0, "highest": 13.0}],
    "soak": [
        {
            "name": "72,000/s",
            "readings_per_s": 72_000,
            "samples": [
                {
                    "at_s": at,
                    "lag_s": 0.1,
                    "worker_bytes": 3e8,
                    "table_bytes": 1e9,
                    "wal_bytes": 2e9,
                    "worker_cores": 0.4,
                    "postgres_cores": 0.3,
                }
                for at in range(3)
            ],
        }
    ],
}


def printed(report: Report) -> str:
    console = Console(width=200, record=True, file=StringIO())
    for table in tables_of(report):
        console.print(table)
    return console.export_text()


@pytest.mark.parametrize("verb", list(RESULTS))
def test_every_kind_of_report_has_a_plot_and_tables(verb: str) -> None:
    report = Report(verb, MACHINE, {}, RESULTS[verb])

    ElementTree.fromstring(plot_of(report))
    assert all(result["name"] in printed(report) for result in report.results)


def test_the_plot_of_the_pipeline_leaves_out_what_is_no_pipeline() -> None:
    svg = plot_of(Report("pipeline", MACHINE, {}, RESULTS["pipeline"]))

    assert "raw copy" in svg
    assert "500,000 (0.91)" in svg
    assert "decode batched" not in svg


def test_a_stage_without_elapsed_time_shows_its_cpu_time() -> None:
    text = printed(Report("pipeline", MACHINE, {}, RESULTS["pipeline"]))

    assert "0.1 (1.2)" in text
    assert "0.07" in text


def test_latencies_have_a_table_of_their_own_with_a_line_for_each_way() -> None:
    report = Report("latency", MACHINE, {}, RESULTS["latency"])
    figures, latencies = (line for line in printed(report).split("from schedule to"))

    assert "0.125" in figures
    assert "60" not in figures
    visible, derived = (line.split() for line in latencies.splitlines() if "/s" in line)
    assert visible == ["20,000/s", "visible", "30", "60", "80", "90", "3,000"]
    assert derived == ["20,000/s", "derived", "35", "66.5", "85"]
    assert "20,000/s derived p99.9" in plot_of(report)


def test_answers_are_drawn_as_shares_of_what_is_promised() -> None:
    assert "25 % (12.5 of 50 ms)" in plot_of(Report("queries", MACHINE, {}, RESULTS["queries"]))
