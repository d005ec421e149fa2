"""What more workers, more series, repeats and late readings do to rate and cost."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from jobs.benchmark.backlog import CLEAN, Backlog, Shape, backlog
from jobs.benchmark.dirt import Dirt
from jobs.benchmark.pipeline import drained
from jobs.benchmark.rounds import Contestant, Say, compete, results
from jobs.generate import Encoding


def measure(
    readings: int,
    rounds: int,
    shape: Shape,
    worker_counts: Sequence[int],
    series_counts: Sequence[int],
    dirts: Sequence[Dirt],
    partitions: int,
    say: Say,
) -> list[dict[str, Any]]:
    """Measure batches with several workers, and with one worker several numbers of series and dirts."""
    with ExitStack() as stack:

        def filled(name: str, shape: Shape, dirt: Dirt = CLEAN) -> Backlog:
            say(f"producing {readings:,} readings for {name}")
            return stack.enter_context(backlog(readings, Encoding.BATCH, shape, partitions, dirt))

        contestants: list[Contestant] = []
        if worker_counts:
            clean = filled("workers", shape)
            contestants += [
                Contestant(f"{count}_workers", partial(drained, clean, count)) for count in worker_counts
            ]
        for count in series_counts:
            name = f"{count:,}_series"
            waiting = filled(name, shape._replace(series=count))
            contestants.append(Contestant(name, partial(drained, waiting)))
        for dirt in dirts:
            name = f"repeated_{dirt.repeated:.0%}" if dirt.repeated else f"late_{dirt.late:.0%}"
            contestants.append(Contestant(name, partial(drained, filled(name, shape, dirt))))
        return results(contestants, compete(contestants, rounds, say))
