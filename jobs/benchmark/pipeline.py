"""From a backlog in Kafka to visible rows, beside the raw COPY of the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from jobs.benchmark import alone
from jobs.benchmark.backlog import Backlog, Shape, backlog
from jobs.benchmark.drain import drain
from jobs.benchmark.raw_copy import Flushed, raw_copy, read_back
from jobs.benchmark.rounds import Contestant, Run, Say, compete, results
from jobs.generate import Encoding
from jobs.scratch import empty_database
from sinks.timescale.levels import apply_levels
from sinks.timescale.migrate import migrate
from streams.settings import Settings

NAMES = {
    Encoding.BATCH: "batched",
    Encoding.SINGLE: "single",
    Encoding.JSON: "json",
    Encoding.JSON_ARRAY: "json_array",
}
"""What the encodings are called in reports."""

SHARE = {"share_of_raw_copy": "raw_copy"}

SINGLES = (Encoding.SINGLE, Encoding.JSON)
SINGLES_SHARE = 0.25
"""Of readings that travel one by one so many are sent: they take four times as long to send."""


@contextmanager
def new_database() -> Iterator[str]:
    """Yield the owner's connection string of a migrated, empty database."""
    with empty_database("benchmark") as dsn:
        migrate(dsn)
        apply_levels(dsn, Settings().rollup_widths_us)
        yield dsn


def drained(waiting: Backlog, workers: int = 1) -> Run:
    """Drain a backlog into a database of its own."""
    with new_database() as dsn:
        return drain(waiting, dsn, workers)


def copied(flushed: Flushed) -> Run:
    """Copy flushes into a database of their own."""
    with new_database() as dsn:
        return raw_copy(flushed, dsn)


def recorded(waiting: Backlog) -> Flushed:
    """Drain a backlog once and return what that stored, flush by flush."""
    with new_database() as dsn:
        drain(waiting, dsn)
        return read_back(dsn)


def backlogs(
    stack: ExitStack, encodings: Sequence[Encoding], readings: int, shape: Shape, partitions: int, say: Say
) -> dict[Encoding, Backlog]:
    """Fill a topic for each encoding."""
    filled = {}
    for encoding in encodings:
        count = int(readings * SINGLES_SHARE) if encoding in SINGLES else readings
        say(f"producing {count:,} readings, {NAMES[encoding]}")
        filled[encoding] = stack.enter_context(backlog(count, encoding, shape, partitions))
    return filled


def measure(
    readings: int,
    rounds: int,
    shape: Shape,
    encodings: Sequence[Encoding],
    worker_counts: Sequence[int],
    partitions: int,
    say: Say,
) -> list[dict[str, Any]]:
    """Measure the pipeline with each encoding, and batches with several numbers of workers."""
    with ExitStack() as stack:
        wanted = dict.fromkeys((Encoding.BATCH, *encodings))
        waiting = backlogs(stack, list(wanted), readings, shape, partitions, say)
        say("recording what the pipeline stores")
        flushed = recorded(waiting[Encoding.BATCH])
        contestants = [Contestant("raw_copy", partial(copied, flushed))]
        for encoding in encodings:
            decoding = f"decode_{NAMES[encoding]}"
            chunks = alone.chunks_of(waiting[encoding])
            contestants.append(Contestant(decoding, partial(alone.decode, chunks)))
            shares = {**SHARE, "share_of_decoding": decoding}
            contestants.append(Contestant(NAMES[encoding], partial(drained, waiting[encoding]), shares))
        for count in worker_counts:
            if count > 1:
                run = partial(drained, waiting[Encoding.BATCH], count)
                contestants.append(Contestant(f"batched_{count}_workers", run, SHARE))
        return results(contestants, compete(contestants, rounds, say))
