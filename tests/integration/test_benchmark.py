"""Each verb of the benchmark measures on the real stack, and says it in the form it promises."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from jobs.benchmark import ceiling, comparison, latency, pipeline, scale, soak
from jobs.benchmark.backlog import Shape, backlog
from jobs.benchmark.dirt import Dirt
from jobs.benchmark.raw_copy import raw_copy, read_back
from jobs.benchmark.rivals import RIVALS
from jobs.generate import Encoding
from jobs.scratch import as_writer, empty_database
from sinks.protocols import Part
from sinks.timescale.migrate import migrate
from sinks.timescale.sink import TimescaleSink
from tests.builders import BASE_US, P0, columns, flush_of, series_table

pytestmark = pytest.mark.stack

SHAPE = Shape(series=200, producers=50)
ROWS = "SELECT ts, value, series_id, quality FROM readings ORDER BY series_id, ts"


@pytest.fixture(autouse=True)
def _small_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers store a small backlog in more than one flush."""
    monkeypatch.setenv("STREAMGAUGE_FLUSH_ROWS", "1000")


def by_name(results: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {result["name"]: result for result in results}


def test_pipeline_tells_rate_share_and_cost() -> None:
    found = by_name(pipeline.measure(20_000, 1, SHAPE, [Encoding.BATCH], [1], 2, print))

    assert list(found) == ["raw_copy", "decode_batched", "batched"]
    batched = found["batched"]
    assert batched["readings_per_s"] > 0
    assert batched["share_of_raw_copy"] > 0
    assert {"worker", "broker", "postgres"} >= set(batched["cpu_s_per_million"])
    stages = batched["stages_us_per_reading"]
    assert {"decode", "validate", "deduplicate", "encode", "copy", "commit"} <= set(stages["elapsed"])
    assert {"fetch", *stages["elapsed"]} == set(stages["cpu"])


def test_ceiling_tells_each_limit_alone() -> None:
    found = by_name(ceiling.measure(20_000, 1, SHAPE, [Encoding.BATCH], 2, print))

    assert list(found) == ["raw_copy", "fetch_batched", "decode_batched"]
    assert all(result["readings_per_s"] > 0 for result in found.values())


def test_latency_times_marked_readings() -> None:
    (result,) = latency.measure([500.0], 1.0, 1, 100, 100, 2, print)

    assert 0 < result["p50_ms"] <= result["p99_ms"] <= result["max_ms"]
    assert 0 < result["derived_p50_ms"] <= result["derived_p99_ms"] <= result["derived_max_ms"]
    assert 90 <= result["samples"] <= 100, "each once"
    assert 8 <= result["derived_samples"] <= 10
    assert 0 <= result["lag_s"] < 60
    assert result["worker_mib"] > 10
    assert {"generator", "client"} <= set(result["cpu_s_per_million"])


def test_scale_measures_repeats() -> None:
    (result,) = scale.measure(20_000, 1, SHAPE, [], [], [Dirt(repeated=0.5)], 2, print)

    assert result["name"] == "repeated_50%"
    assert result["readings_per_s"] > 0


def test_soak_watches_what_grows() -> None:
    result, _ = soak.measure(1_000.0, 0.05, 0.5, 100, 100, 2, print)

    assert result["samples"][-1]["stored"] > 1_000
    assert all(result["samples"][-1][name] > 0 for name in ("worker_bytes", "table_bytes", "wal_bytes"))


def test_the_plain_loop_is_timed_and_killed() -> None:
    plain, python = RIVALS[0], Path(sys.executable)
    with backlog(20_000, Encoding.JSON, SHAPE, 4) as waiting:
        run = comparison.timed(plain, python, waiting)
        harm = comparison.killed(plain, python, waiting)

    assert 0 < run.readings < 20_000, "from the first commit to the last"
    assert run.cpu_s["worker"] > 0
    assert harm["lost"] == 0, "it commits its offsets after its rows"
    assert harm["doubled"] >= 0


def test_raw_copy_sends_what_the_pipeline_stored_flush_by_flush(database: str) -> None:
    table = series_table("rpm", "flow")
    sink = TimescaleSink(as_writer(database), "benchmark-test")
    progress = sink.claim(P0, "benchmark-test", 0)
    for base, count in ((0, 3), (3, 2)):
        part = Part(P0, progress.epoch, base, base + count)
        times = [BASE_US + 1_000_000 * (base + row) for row in range(count)]
        part.columns.append(columns([row % 2 for row in range(count)], time_us=times))
        sink.write(flush_of(table, part))
    sink.close()

    flushed = read_back(database)
    with empty_database("test") as copy:
        migrate(copy)
        run = raw_copy(flushed, copy)
        with psycopg.connect(database) as one, psycopg.connect(copy) as other:
            assert one.execute(ROWS).fetchall() == other.execute(ROWS).fetchall()

    assert flushed.readings == [3, 2]
    assert run.readings == 2, "the rate is that from the first flush to the last"
    assert np.isfinite(run.rate)
