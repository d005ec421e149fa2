"""A report for people: tables on the terminal, and a plot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from jobs.benchmark.plot import Bar, bar_chart, line_chart
from jobs.benchmark.report import Report

SOAK_LINES = {
    "lag_s": "lag in s",
    "worker_bytes": "memory of the worker in bytes",
    "table_bytes": "table in bytes",
    "wal_bytes": "WAL written in bytes",
    "worker_cores": "cores used by the worker",
    "postgres_cores": "cores used by Postgres",
}
PERCENTILES = ("p50_ms", "p99_ms", "p99.9_ms")
LATENCY_FIELDS = (*PERCENTILES, "max_ms", "samples")
WAYS = {"": "visible", "derived_": "derived"}
"""What a reading's ways are called, by what their fields begin with."""


def tables_of(report: Report) -> Iterator[Table]:
    """Yield the figures, latencies, costs in CPU, and what each stage took; each where it is known."""
    yield _figures(report.results)
    if timed := list(latencies(report.results)):
        yield _percentiles(timed)
    costed = [result for result in report.results if result.get("cpu_s_per_million")]
    if costed:
        yield _costs(costed)
    staged = [result for result in report.results if "stages_us_per_reading" in result]
    if staged:
        yield _stages(staged)


def _figures(results: Sequence[Mapping[str, Any]]) -> Table:
    fields = _names(result for result in results)
    elsewhere = {prefix + name for prefix in WAYS for name in LATENCY_FIELDS}
    shown = [
        name
        for name in fields
        if name not in elsewhere and any(_is_figure(result.get(name)) for result in results)
    ]
    table = _table("", *(name.replace("_", " ") for name in shown))
    for result in results:
        table.add_row(result["name"], *(_figure(result.get(name)) for name in shown))
    return table


def latencies(results: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the latencies of each way at each rate, under the same names."""
    for result in results:
        for prefix, way in WAYS.items():
            if prefix + "p50_ms" in result:
                told = {name: result.get(prefix + name) for name in LATENCY_FIELDS}
                yield {"name": f"{result['name']} {way}", **told}


def _percentiles(timed: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("from schedule to", *(name.replace("_", " ") for name in LATENCY_FIELDS))
    for each in timed:
        table.add_row(each["name"], *(_figure(each[name]) for name in LATENCY_FIELDS))
    return table


def _costs(costed: Sequence[Mapping[str, Any]]) -> Table:
    processes = _names(result["cpu_s_per_million"] for result in costed)
    table = _table("CPU s a million readings", *processes)
    for result in costed:
        cpu_s = result["cpu_s_per_million"]
        table.add_row(result["name"], *(_figure(cpu_s.get(process)) for process in processes))
    return table


def _stages(staged: Sequence[Mapping[str, Any]]) -> Table:
    """Return microseconds a reading: CPU, and in brackets elapsed where that was measured."""
    names = _names(result["stages_us_per_reading"]["cpu"] for result in staged)
    table = _table("µs a reading: CPU (elapsed)", *(result["name"] for result in staged))
    for name in names:
        table.add_row(name, *(_budget(result["stages_us_per_reading"], name) for result in staged))
    return table


def _budget(stages: Mapping[str, Mapping[str, float]], name: str) -> str:
    cpu, elapsed = stages["cpu"].get(name), stages["elapsed"].get(name)
    return _figure(cpu) if elapsed is None else f"{_figure(cpu)} ({_figure(elapsed)})"


def plot_of(report: Report) -> str:
    """Return the figures as an SVG document."""
    title = f"streamgauge benchmark {report.benchmark}"
    first = report.results[0]
    if "samples" in first and isinstance(first["samples"], list):
        xs = [sample["at_s"] for sample in first["samples"]]
        lines = {words: [sample[name] for sample in first["samples"]] for name, words in SOAK_LINES.items()}
        return line_chart(title, f"seconds; {where(report)}", xs, lines)
    if "p50_ms" in first:
        bars = [
            Bar(f"{each['name']} {name.removesuffix('_ms')}", each[name], each[name], each[name])
            for each in latencies(report.results)
            for name in PERCENTILES
        ]
        return bar_chart(title, f"ms from schedule to SELECT, and to dead letter; {where(report)}", bars)
    if "bound_ms" in first:
        bars = list(_answers(report.results))
        return bar_chart(title, f"ms, in percent of what is promised; {where(report)}", bars)
    if "standard" in first:
        scores = [result for result in report.results if "standard" in result]
        bars = [Bar(each["name"], *[max(each["standard"], 0.0)] * 3) for each in scores]
        return bar_chart(title, f"NAB standard, of 100; {where(report)}", bars)
    if "mase" in first:
        groups = [result for result in report.results if "mase" in result]
        bars = [
            Bar(each["name"], percent, percent, percent, f"({each['coverage']:.0%} within P10 to P90)")
            for each in groups
            for percent in [100 * each["mase"]]
        ]
        return bar_chart(title, f"error, % of that of a day ago; {where(report)}", bars)
    if "found" in first:
        shares = [result for result in report.results if "found" in result]
        bars = [Bar(each["name"], *[100.0 * each["found"]] * 3) for each in shares]
        return bar_chart(title, f"faults told of, in percent; {where(report)}", bars)
    if "ns_per_reading" in first:
        return bar_chart(title, f"ns a reading; {where(report)}", _bars(report.results, "ns_per_reading"))
    compared = [result for result in report.results if "share_of_raw_copy" in result]
    shown = [result for result in report.results if result["name"] == "raw_copy" or result in compared]
    unit = "readings/s (share of raw COPY)" if compared else "readings/s"
    return bar_chart(
        title, f"{unit}; {where(report)}", _bars(shown if compared else report.results, "readings_per_s")
    )


def _bars(results: Iterable[Mapping[str, Any]], field: str) -> list[Bar]:
    return [
        Bar(
            result["name"].replace("_", " "),
            result[field],
            result["lowest"],
            result["highest"],
            f"({result['share_of_raw_copy']:.2f})" if "share_of_raw_copy" in result else "",
        )
        for result in results
    ]


def _answers(results: Iterable[Mapping[str, Any]]) -> Iterator[Bar]:
    """Yield how much each answer took of the time it may take; its milliseconds stand beside it."""
    for result in results:
        percent = 100 / result["bound_ms"]
        yield Bar(
            result["name"],
            result["ours_ms"] * percent,
            result["lowest_ms"] * percent,
            result["highest_ms"] * percent,
            f"% ({result['ours_ms']:,.3g} of {result['bound_ms']:g} ms)",
        )


def where(report: Report) -> str:
    """Return in a line what was measured on."""
    machine = report.machine
    return f"{machine['cores']} cores, {machine['cpu']}, {machine['commit']}, {machine['at'][:10]}"


def _names(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _is_figure(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _figure(value: Any) -> str:
    if not _is_figure(value):
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"


def _table(first: str, *headings: str) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
