"""Each stage of the core alone, in nanoseconds a reading: to see what a change of it does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jobs.benchmark.alone import rechunked
from jobs.benchmark.backlog import Shape, load_of
from jobs.benchmark.figures import Figure
from jobs.benchmark.rounds import Say
from jobs.generate import Encoding, messages
from sinks.timescale.copy import encode_readings
from streams.core.batch import NEVER_US, Columns, Messages, Points
from streams.core.decode import Decoder
from streams.core.deduplicate import (
    KEPT_FOREVER_US,
    Deduplicator,
    Judgement,
    Rows,
    series_time_order,
)
from streams.core.detect.choice import Choice
from streams.core.identities import Stored
from streams.core.levels import MINUTE_US
from streams.core.limits import Limits
from streams.core.order import Release, ReorderBuffer
from streams.core.partition import REORDER_BYTES
from streams.core.rollup import Closing, Rollups
from streams.core.sequences import Sequences
from streams.core.series import SeriesTable
from streams.core.validate import Validator
from streams.core.watch import Watch
from streams.core.watermark import Patience, Watermark

MEMORY_BYTES = 256 << 20


class Stage(NamedTuple):
    """What is measured: ``prepare`` is not timed, what it returns is."""

    name: str
    readings: int
    prepare: Callable[[], Callable[[], object]]


class NoHistory:
    """A database that holds nothing: memory has to know everything."""

    def stored(self, series_id: Any, time_us: Any) -> Stored:  # noqa: ARG002
        """Answer that nothing is stored."""
        return Stored.nothing(len(series_id))

    def revision(self, series_id: int, time_us: int) -> tuple[int, bool]:  # noqa: ARG002
        """Answer that nothing was revised."""
        return 0, False

    def unreleased(self, from_us: int, to_us: int, most: int) -> Points:  # noqa: ARG002
        """Answer that nothing is left to release."""
        return Points.concat([])


def chunks_of(readings: int, encoding: Encoding, shape: Shape) -> list[Messages]:
    """Return a load as a worker would fetch it, without a broker."""
    load = load_of(readings, encoding, shape)
    sent = list(messages(load))
    offsets = np.arange(len(sent))
    stamps_ms = np.full(len(sent), load.last_us // 1000 + 1000)
    whole = Messages([each.value for each in sent], [each.key for each in sent], offsets, stamps_ms)
    return list(rechunked([whole]))


def stages(readings: int, shape: Shape, encodings: Sequence[Encoding]) -> list[Stage]:
    """Return all stages with their input; decoding has one for each encoding."""
    found = []
    for encoding in encodings:
        chunks = chunks_of(readings, encoding, shape)

        def decode(chunks: list[Messages] = chunks) -> Callable[[], object]:
            decoder = Decoder(Limits(), SeriesTable())
            decoder.decode(chunks[0])  # its names are known in a worker that runs
            return lambda: [decoder.decode(chunk) for chunk in chunks]

        found.append(Stage(f"decode_{encoding.value}", readings, decode))
    return [*found, *_stages_of_columns(readings, shape)]


def _stages_of_columns(readings: int, shape: Shape) -> list[Stage]:
    decoder, validator = Decoder(Limits(), SeriesTable()), Validator(Limits())
    chunks = [decoder.decode(chunk) for chunk in chunks_of(readings, Encoding.BATCH, shape)]
    columns = Columns.concat([chunk.columns for chunk in chunks])
    rows = _rows(columns)

    def validate() -> Callable[[], object]:
        return lambda: [validator.validate(chunk, decoder.series, decoder.producers) for chunk in chunks]

    def sequences() -> Callable[[], object]:
        seen = Sequences()
        return lambda: seen.judge(columns.producer, columns.epoch, columns.sequence)

    def judge_new() -> Callable[[], object]:
        deduplicator = _deduplicator()
        return lambda: deduplicator.judge(rows, NoHistory())

    def take_in() -> Callable[[], object]:
        deduplicator, judgement = _judged(rows)
        return lambda: deduplicator.apply(rows, judgement)

    def judge_repeated() -> Callable[[], object]:
        deduplicator, judgement = _judged(rows)
        deduplicator.apply(rows, judgement)
        return lambda: deduplicator.judge(rows, NoHistory())

    def watermark() -> Callable[[], object]:
        # As they would have been sent live.
        stamp_ms = np.maximum.accumulate(columns.time_us // 1000)
        return lambda: Watermark(Patience()).after(columns.producer, columns.time_us, stamp_ms)

    def order() -> Callable[[], object]:
        _, judgement = _judged(rows)
        points = Points(rows.series_id, rows.time_us, rows.value, rows.quality)
        watermark_us = int(np.median(rows.time_us))

        def hold_back_and_release() -> Release:
            buffer, arrived = ReorderBuffer(REORDER_BYTES), points.take(judgement.written)
            buffer.apply(buffer.release([arrived], NEVER_US, NEVER_US, NoHistory()))
            return buffer.release([], watermark_us, NEVER_US, NoHistory())

        return hold_back_and_release

    def detect() -> Callable[[], object]:
        order = series_time_order(rows.series_id, rows.time_us)
        points = Points(rows.series_id, rows.time_us, rows.value, rows.quality).take(order)
        watch = Watch(Choice(), NEVER_US)
        watch.see(points, int(points.time_us.max()) + 1)
        later = points._replace(time_us=points.time_us + (np.ptp(points.time_us) + 1))
        return lambda: watch.see(later, int(later.time_us.max()) + 1)

    def rollup() -> Callable[[], object]:
        order = series_time_order(rows.series_id, rows.time_us)
        points = Points(rows.series_id, rows.time_us, rows.value, rows.quality).take(order)
        early = points.time_us < np.median(points.time_us)
        parts = points.take(early), points.take(~early)
        begins_us, ends_us = int(points.time_us.min()), int(points.time_us.max()) + MINUTE_US

        def take_in_twice_and_close() -> Closing:
            rollups = Rollups()
            for part in parts:
                rollups.apply(rollups.close(part, begins_us))
            return rollups.close(Points.concat([]), ends_us)

        return take_in_twice_and_close

    def sort() -> Callable[[], object]:
        return lambda: series_time_order(rows.series_id, rows.time_us)

    def encode() -> Callable[[], object]:
        return lambda: encode_readings(rows.series_id, rows.time_us, rows.value, rows.quality)

    return [
        Stage("validate", readings, validate),
        Stage("sequences", readings, sequences),
        Stage("deduplicate_new", readings, judge_new),
        Stage("deduplicate_take_in", readings, take_in),
        Stage("deduplicate_repeated", readings, judge_repeated),
        Stage("watermark", readings, watermark),
        Stage("order", readings, order),
        Stage("rollup", readings, rollup),
        Stage("detect", readings, detect),
        Stage("sort_by_series_and_time", readings, sort),
        Stage("encode_copy", readings, encode),
    ]


def _rows(columns: Columns) -> Rows:
    return Rows(
        columns.series,
        columns.time_us,
        columns.value,
        columns.quality,
        columns.revision,
        np.zeros(len(columns), np.bool_),
        np.zeros(len(columns), np.bool_),
    )


def _deduplicator() -> Deduplicator:
    return Deduplicator(MEMORY_BYTES, np.empty(0, np.int64), np.empty(0, np.int64), KEPT_FOREVER_US)


def _judged(rows: Rows) -> tuple[Deduplicator, Judgement]:
    deduplicator = _deduplicator()
    return deduplicator, deduplicator.judge(rows, NoHistory())


def measure(
    readings: int, rounds: int, shape: Shape, encodings: Sequence[Encoding], say: Say
) -> list[dict[str, Any]]:
    """Time every stage once a round."""
    taken_ns: dict[str, list[float]] = {}
    found = stages(readings, shape, encodings)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for stage in found:
            run = stage.prepare()
            began_ns = time.perf_counter_ns()
            run()
            taken_ns.setdefault(stage.name, []).append((time.perf_counter_ns() - began_ns) / stage.readings)
    return [_result(name, Figure.of(taken)) for name, taken in taken_ns.items()]


def _result(name: str, figure: Figure) -> dict[str, Any]:
    told = {"ns_per_reading": figure.median, "lowest": figure.lowest, "highest": figure.highest}
    return {"name": name, **{field: round(value, 2) for field, value in told.items()}}


def held_against(
    results: Sequence[dict[str, Any]], earlier: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Add to each result what it was before, and the change: 0.1 is ten percent slower.

    The lowest of the rounds are compared, which other programs disturb least.

    >>> now = [{"name": "validate", "ns_per_reading": 12.0, "lowest": 11.0, "highest": 13.0}]
    >>> held_against(now, {"validate": {"lowest": 10.0}})[0]["change"]
    0.1
    """
    return [
        {**result, "before": was["lowest"], "change": round(result["lowest"] / was["lowest"] - 1, 3)}
        if (was := earlier.get(result["name"]))
        else result
        for result in results
    ]
