"""The limits that the pipeline is measured against, each alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from jobs.benchmark import alone
from jobs.benchmark.backlog import Shape
from jobs.benchmark.pipeline import NAMES, backlogs, copied, recorded
from jobs.benchmark.rounds import Contestant, Say, compete, results
from jobs.generate import Encoding


def measure(
    readings: int, rounds: int, shape: Shape, encodings: Sequence[Encoding], partitions: int, say: Say
) -> list[dict[str, Any]]:
    """Measure raw COPY, and fetching and decoding of each encoding."""
    with ExitStack() as stack:
        wanted = dict.fromkeys((Encoding.BATCH, *encodings))
        waiting = backlogs(stack, list(wanted), readings, shape, partitions, say)
        say("recording what the pipeline stores")
        contestants = [Contestant("raw_copy", partial(copied, recorded(waiting[Encoding.BATCH])))]
        for encoding in encodings:
            name, some = NAMES[encoding], waiting[encoding]
            contestants.append(Contestant(f"fetch_{name}", partial(alone.fetch, some)))
            contestants.append(Contestant(f"decode_{name}", partial(alone.decode, alone.chunks_of(some))))
        return results(contestants, compete(contestants, rounds, say))
