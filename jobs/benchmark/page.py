"""Puts the figures of the last saved runs into the pages that show them: ``python -m jobs.benchmark.page``.

A page says where by ``<!-- figures: <verb> -->``, or ``<verb> <part>``; what follows, up to
``<!-- end -->``, is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.benchmark.report import read_results
from jobs.benchmark.summary import PERCENTILES, latencies
from streams.settings import PROJECT_ROOT

SAVED = PROJECT_ROOT / "docs" / "benchmarks"
PAGES = (
    PROJECT_ROOT / "README.md",
    SAVED / "README.md",
    SAVED.parent / "detection.md",
    SAVED.parent / "forecasting.md",
)

_PLACE = re.compile(r"(<!-- figures: (\w+(?: \w+)?) -->\n).*?(<!-- end -->)", re.DOTALL)
_LOADS = {
    "raw_copy": "raw COPY of the same rows, one connection",
    "batched": "Avro batches",
    "batched_2_workers": "Avro batches, two workers",
    "single": "Avro, a message a reading",
    "json": "JSON, a message a reading",
    "json_array": "JSON arrays",
}

Result = Mapping[str, Any]


def filled(page: str, saved: Path = SAVED) -> str:
    """Return a page with the figures of the reports saved in a directory.

    >>> filled("no figures here")
    'no figures here'
    """

    def place(found: re.Match[str]) -> str:
        begin, name, end = found.groups()
        results = read_results(saved / f"{name.split()[0]}.json").values()
        return begin + "\n" + table(name, list(results)) + "\n" + end

    return _PLACE.sub(place, page)


def table(name: str, results: Sequence[Result]) -> str:
    """Return the results of one verb, or a part of them, as a table in Markdown."""
    head, *rows = _TABLES[name](results)
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _pipeline(results: Iterable[Result]) -> Iterator[list[str]]:
    yield ["from a backlog to visible rows", "readings/s", "lowest to highest", "of raw COPY"]
    for result in results:
        if words := _LOADS.get(result["name"]):
            spread = f"{result['lowest']:,} to {result['highest']:,}"
            share = f"{result.get('share_of_raw_copy', 1):.2f}"
            yield [words, f"{result['readings_per_s']:,}", spread, share]


def _latency(results: Iterable[Result]) -> Iterator[list[str]]:
    yield ["live, one worker", "p50", "p99", "p99.9"]
    for each in latencies(results):
        yield [each["name"], *(f"{each[name]:,.0f} ms" for name in PERCENTILES)]


def _soak(results: Iterable[Result]) -> Iterator[list[str]]:
    yield ["steady load", "most lag", "most memory", "worker, cores", "Postgres, cores", "what grew"]
    for result in results:
        yield [
            result["name"],
            f"{result['max_lag_s']:.2f} s",
            f"{result['max_worker_mib']:.0f} MiB",
            f"{result['worker_cores']:.2f}",
            f"{result['postgres_cores']:.2f}",
            "; ".join(result["faults"]) or "nothing",
        ]


def _peers(results: Iterable[Result]) -> Iterator[list[str]]:
    yield ["program and encoding", "readings/s", "of ours", "lost by one kill", "doubled by it"]
    for result in results:
        share = f"{result.get('share_of_streamgauge', 1):.2f}"
        harm = [f"{result[kind]:,}" if kind in result else "" for kind in ("lost", "doubled")]
        yield [result["name"].replace("_", " "), f"{result['readings_per_s']:,}", share, *harm]


def _scale(results: Iterable[Result]) -> Iterator[list[str]]:
    yield ["", "readings/s", "worker, CPU s per million", "Postgres, CPU s per million"]
    for result in results:
        costs = [f"{result['cpu_s_per_million'][process]:.2f}" for process in ("worker", "postgres")]
        yield [result["name"].replace("_", " "), f"{result['readings_per_s']:,}", *costs]


def _queries(results: Iterable[Result]) -> Iterator[list[str]]:
    yield [
        "asked as an analyst",
        "promised",
        "seen",
        "lowest to highest",
        "rows",
        "plain SQL",
        "continuous aggregate",
    ]
    for result in results:
        seen, *others = (
            f"{result[name]:,.1f} ms" if name in result else "-"
            for name in ("ours_ms", "plain_ms", "kept_ms")
        )
        spread = f"{result['lowest_ms']:,.1f} to {result['highest_ms']:,.1f}"
        yield [result["name"], f"{result['bound_ms']:g} ms", seen, spread, f"{result['rows']:,}", *others]


def _detect(results: Iterable[Result]) -> Iterator[list[str]]:
    yield [
        "NAB's score, and false alarms",
        "standard",
        "low FP",
        "low FN",
        "recall",
        "precision",
        "false a day",
    ]
    for result in results:
        if "standard" in result:
            scores = [f"{result[name]:.1f}" for name in ("standard", "reward_low_fp", "reward_low_fn")]
            shares = [
                f"{result[name]:.2f}" for name in ("recall", "precision", "false_alarms_per_series_day")
            ]
            yield [result["name"].replace("_", " "), *scores, *shares]


def _chosen(results: Iterable[Result]) -> Iterator[list[str]]:
    yield ["chosen", "of", "in sample", "on other files", "gap", "on other kinds of files"]
    for result in results:
        if "cross_validated" in result:
            nested, spread = result["cross_validated"], result["cross_validated_sd"]
            yield [
                result["name"],
                f"{result['choices']}",
                f"{result['in_sample']:.1f}",
                f"{nested:.1f} ± {spread:.1f}",
                f"{result['chosen_on'] - nested:.1f}",
                f"{result['by_folder']:.1f}",
            ]


def _noise(results: Iterable[Result]) -> Iterator[list[str]]:
    yield ["false alarms a series and day", "notice", "page"]
    for result in results:
        if "pages_per_series_day" in result:
            levels = (result["false_alarms_per_series_day"], result["pages_per_series_day"])
            yield [result["name"], *(f"{each:.3f}" for each in levels)]


def _cost(results: Iterable[Result]) -> Iterator[list[str]]:
    yield ["", "µs a reading", "bytes a series"]
    for result in results:
        if "us_per_point" in result:
            yield [result["name"], f"{result['us_per_point']:.2f}", f"{result['bytes_per_series']:,}"]


def _forecast(results: Iterable[Result]) -> Iterator[list[str]]:
    yield [
        "a day ahead, by the hour",
        "series",
        "forecasts",
        "MASE",
        "of naive",
        "series that are better",
        "within P10 to P90",
        "a simplest was best",
    ]
    for result in results:
        if "mase" in result:
            counts = [f"{result[name]:,}" for name in ("series", "forecasts")]
            shares = [f"{result[name]:.2f}" for name in ("mase", "naive_mase")]
            better = f"{result['better']} of {result['series']}"
            percents = [f"{100 * result[name]:.0f} %" for name in ("coverage", "simplest")]
            yield [result["name"], *counts, *shares, better, *percents]


def _rules(results: Iterable[Result]) -> Iterator[list[str]]:
    yield ["put in", "told of by", "found", "after so many readings", "others a series and day"]
    for result in results:
        if "found" in result:
            delay = result["delay_readings"]
            yield [
                result["name"].removeprefix("fault: "),
                result["detector"],
                f"{result['found']:.0%}",
                "-" if delay is None else f"{delay:.0f}",
                f"{result['others_per_series_day']:.3f}",
            ]


def _rules_noise(results: Iterable[Result]) -> Iterator[list[str]]:
    yield ["rule", "notice", "page", "on noise"]
    for result in results:
        if "worst" in result:
            levels = (result["false_alarms_per_series_day"], result["pages_per_series_day"])
            name = result["name"].removeprefix("rule: ")
            yield [name, *(f"{each:.3f}" for each in levels), result["worst"] or "of no kind"]


_TABLES = {
    "pipeline": _pipeline,
    "latency": _latency,
    "soak": _soak,
    "peers": _peers,
    "scale": _scale,
    "queries": _queries,
    "detect": _detect,
    "detect chosen": _chosen,
    "detect noise": _noise,
    "detect cost": _cost,
    "forecast": _forecast,
    "rules": _rules,
    "rules noise": _rules_noise,
}


def main() -> None:
    """Rewrite the pages of this checkout."""
    for page in PAGES:
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
