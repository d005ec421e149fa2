"""From the moment at which a reading was to be sent to the moment at which a SELECT sees it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
import psycopg

from jobs.benchmark.cpu import CpuMeter, service_pids
from jobs.benchmark.figures import percentiles_ms
from jobs.benchmark.openloop import (
    MARKER_METRIC,
    MARKERS,
    Followed,
    Plan,
    follow,
    marker,
    marker_source,
)
from jobs.benchmark.pipeline import new_database
from jobs.benchmark.rounds import Contestant, Run, Say, compete, results
from jobs.benchmark.workers import BenchmarkWorker, workers_on
from jobs.producer import ReadingsProducer
from jobs.scratch import as_reader, empty_topic
from streams.errors import UserError
from streams.settings import Settings

LOOK_EVERY_S = 0.005
"""How often markers are looked for: a latency is told too high by up to as much, never too low."""

BEGIN_AFTER_S = 3.0
SETTLE_S = 2.0
"""What is due in the first seconds is not counted: connections and series are new."""

PATIENCE_S = 60.0

_MARKERS = "SELECT series_id FROM series WHERE metric = %s AND source = ANY(%s)"
_ARRIVED = """
    SELECT m.series_id, extract(epoch FROM r.ts)::float8
    FROM unnest(%s::integer[], %s::float8[]) AS m (series_id, seen_s)
    CROSS JOIN LATERAL (
        SELECT ts FROM readings WHERE series_id = m.series_id AND ts > to_timestamp(m.seen_s) ORDER BY ts
    ) AS r
"""


class Sightings:
    """Looks for markers as an analyst would, and notes when each is first seen."""

    def __init__(self, session: psycopg.Connection[tuple[Any, ...]], from_s: float) -> None:
        self._session = session
        names = [marker_source(number) for number in range(MARKERS)]
        self._seen_s = {
            series_id: from_s for (series_id,) in session.execute(_MARKERS, (MARKER_METRIC, names))
        }
        self.latencies_s: list[float] = []

    @property
    def complete(self) -> bool:
        """Tell whether every marker is known to the database."""
        return len(self._seen_s) == MARKERS

    @property
    def last_s(self) -> float:
        """The latest time due of what was seen."""
        return max(self._seen_s.values())

    def look(self) -> None:
        """Look once. A marker counts from the time when it was due to the time when the answer is here."""
        asked = list(self._seen_s), list(self._seen_s.values())
        arrived = self._session.execute(_ARRIVED, asked, prepare=True).fetchall()
        now_s = time.time()
        for series_id, due_s in arrived:
            self._seen_s[series_id] = max(due_s, self._seen_s[series_id])
            self.latencies_s.append(now_s - due_s)


@contextmanager
def sending(plan: Plan) -> Iterator[Future[Followed]]:
    """Follow a plan in a process of its own, which shares no interpreter with whoever measures."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        yield pool.submit(follow, plan)


def run_at(rate: float, seconds: float, series: int, batch: int, partitions: int) -> Run:
    """Measure one rate with one worker."""
    with (
        empty_topic("benchmark", partitions) as topic,
        new_database() as dsn,
        workers_on(topic, dsn, 1) as workers,
        psycopg.connect(as_reader(dsn), autocommit=True) as session,
    ):
        _introduce_markers(topic, session, workers)
        return _timed(_plan(topic, rate, seconds, series, batch), session, workers)


def _plan(topic: str, rate: float, seconds: float, series: int, batch: int) -> Plan:
    return Plan(
        kafka=Settings().kafka,
        topic=topic,
        rate=rate,
        seconds=SETTLE_S + seconds,
        start_s=time.time() + BEGIN_AFTER_S,
        series=series,
        # A batch is what comes together: at low rates it must not be seconds' worth.
        batch=max(1, min(batch, round(rate / 100))),
    )


def _introduce_markers(
    topic: str, session: psycopg.Connection[tuple[Any, ...]], workers: Sequence[BenchmarkWorker]
) -> None:
    producer = ReadingsProducer(Settings().kafka, topic)
    for number in range(MARKERS):
        producer.send(marker(number, time.time()))
    producer.finish(PATIENCE_S)
    _wait_for(lambda: Sightings(session, 0.0).complete, workers)


def _timed(
    plan: Plan, session: psycopg.Connection[tuple[Any, ...]], workers: Sequence[BenchmarkWorker]
) -> Run:
    counted_from_s, end_s = plan.start_s + SETTLE_S, plan.start_s + plan.seconds
    meter = CpuMeter({"worker": [worker.pid for worker in workers], **service_pids()})
    with sending(plan) as sent:
        time.sleep(max(0.0, counted_from_s - time.time()))
        sightings, cpu_s = Sightings(session, counted_from_s), meter.read()
        while time.time() < end_s:
            sightings.look()
            time.sleep(LOOK_EVERY_S)
        used = {name: value - cpu_s[name] for name, value in meter.read().items()}
        followed = sent.result(PATIENCE_S)
        last_s = end_s - 0.1  # markers are sent until the last message, which may be due a little earlier

        def seen() -> bool:
            sightings.look()
            return sightings.last_s >= last_s

        _wait_for(seen, workers)
    seconds = plan.seconds - SETTLE_S
    readings = round(plan.rate * seconds)
    told = percentiles_ms(np.array(sightings.latencies_s))
    return Run(
        readings=readings,
        seconds=seconds,
        cpu_s={**used, "generator": followed.cpu_s * seconds / plan.seconds},
        more={
            **{f"{name}_ms": value for name, value in told.items()},
            "samples": len(sightings.latencies_s),
            "schedule_slip_p99_ms": followed.slip_p99_ms,
        },
    )


def _wait_for(reached: Any, workers: Sequence[BenchmarkWorker]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not reached():
        for worker in workers:
            worker.check()
        if time.monotonic() > deadline_s:
            raise UserError(
                f"markers were not stored within {PATIENCE_S:.0f} s: the rate is too high for this machine",
                hint="Ask for a lower one: --rates",
            )
        time.sleep(LOOK_EVERY_S)


def measure(
    rates: Sequence[float],
    seconds: float,
    rounds: int,
    series: int,
    batch: int,
    partitions: int,
    say: Say,
) -> list[dict[str, Any]]:
    """Measure each rate in turn, in rounds."""
    contestants = [
        Contestant(f"{rate:,.0f}/s", partial(run_at, rate, seconds, series, batch, partitions))
        for rate in rates
    ]
    return results(contestants, compete(contestants, rounds, say))
