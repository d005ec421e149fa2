"""A report for people: tables on the terminal, and a plot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from jobs.benchmark.plot import Bar, bar_chart
from jobs.benchmark.report import Report

SHARE = "share_of_"


def tables_of(report: Report) -> Iterator[Table]:
    """Yield the figures, and what each stage took where that is known."""
    yield _rates(report)
    if any("cpu_s_per_million" in result for result in report.results):
        yield _costs(report)
    staged = [result for result in report.results if "stages_us_per_reading" in result]
    if staged:
        yield _stages(staged)


def _rates(report: Report) -> Table:
    shares = list(dict.fromkeys(name for result in report.results for name in result if SHARE in name))
    table = _table("", "readings/s", "lowest", "highest", *(_spaced(name) for name in shares))
    for result in report.results:
        table.add_row(
            result["name"],
            *(f"{result[name]:,}" for name in ("readings_per_s", "lowest", "highest")),
            *(_number(result.get(name)) for name in shares),
        )
    return table


def _costs(report: Report) -> Table:
    processes = dict.fromkeys(name for each in report.results for name in each.get("cpu_s_per_million", {}))
    table = _table("CPU s a million readings", *processes)
    for result in report.results:
        cpu_s = result.get("cpu_s_per_million", {})
        table.add_row(result["name"], *(_number(cpu_s.get(process)) for process in processes))
    return table


def _stages(staged: list[dict[str, Any]]) -> Table:
    """Return microseconds a reading: CPU, and in brackets elapsed where that was measured."""
    names = list(dict.fromkeys(name for result in staged for name in result["stages_us_per_reading"]["cpu"]))
    table = _table("µs a reading: CPU (elapsed)", *(result["name"] for result in staged))
    for name in names:
        table.add_row(name, *(_budget(result["stages_us_per_reading"], name) for result in staged))
    return table


def _budget(stages: Mapping[str, Mapping[str, float]], name: str) -> str:
    cpu, elapsed = stages["cpu"].get(name), stages["elapsed"].get(name)
    return _number(cpu) if elapsed is None else f"{_number(cpu)} ({_number(elapsed)})"


def plot_of(report: Report) -> str:
    """Return the figures as an SVG document."""
    compared = [result for result in report.results if "share_of_raw_copy" in result]
    bars = [
        Bar(
            _spaced(result["name"]),
            result["readings_per_s"],
            result["lowest"],
            result["highest"],
            f"({result['share_of_raw_copy']:.2f})" if "share_of_raw_copy" in result else "",
        )
        for result in report.results
        if not compared or result in compared or result["name"] == "raw_copy"
    ]
    share = " (share of raw COPY)" if compared else ""
    return bar_chart(f"streamgauge benchmark {report.benchmark}", f"readings/s{share}; {where(report)}", bars)


def where(report: Report) -> str:
    """Return in a line what was measured and on what."""
    machine = report.machine
    return f"{machine['cores']} cores, {machine['cpu']}, {machine['commit']}, {machine['at'][:10]}"


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _table(first: str, *headings: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
