"""Adds up what each stage of a worker takes, for Prometheus and for the benchmark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter


class Stopwatch:
    """Counts seconds by stage; several threads may use it at once.

    A measurement costs about two microseconds: it is taken of chunks and flushes, not of readings.
    Elapsed time includes waiting, for the database or for the interpreter's lock; CPU time does not.

    >>> registry = CollectorRegistry()
    >>> timed = Stopwatch(registry)
    >>> with timed("decode"):
    ...     pass
    >>> registry.get_sample_value("streamgauge_stage_seconds_total", {"stage": "decode"}) > 0
    True
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._elapsed = Counter(
            "streamgauge_stage_seconds",
            "time that a stage took, waiting included",
            ["stage"],
            registry=registry,
        )
        self._cpu = Counter(
            "streamgauge_stage_cpu_seconds",
            "CPU time that a stage took in its thread of the worker",
            ["stage"],
            registry=registry,
        )

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Measure a block, all in one thread and without awaiting."""
        began_s, cpu_s = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self._elapsed.labels(stage).inc(time.perf_counter() - began_s)
            self.add_cpu(stage, time.thread_time() - cpu_s)

    def add_cpu(self, stage: str, seconds: float) -> None:
        """Count CPU time of a stage whose elapsed time says nothing, such as one that mostly waits."""
        self._cpu.labels(stage).inc(seconds)
