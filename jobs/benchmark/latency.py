"""From the moment at which a reading was to be sent to the SELECT that sees it, or to its dead letter."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import psycopg
from confluent_kafka import Consumer

from jobs.benchmark.backlog import lag_records
from jobs.benchmark.cpu import CpuMeter, own_cpu_s, service_pids
from jobs.benchmark.figures import percentiles_ms
from jobs.benchmark.openloop import Plan, introduction, sending
from jobs.benchmark.pipeline import new_database
from jobs.benchmark.rounds import Contestant, Run, Say, compete, results
from jobs.benchmark.sightings import Derived, Stored, reading_all_of
from jobs.benchmark.workers import BenchmarkWorker, workers_on
from jobs.producer import ReadingsProducer
from jobs.scratch import as_reader, empty_topic
from streams.errors import UserError
from streams.settings import Settings

LOOK_EVERY_S = 0.01
"""So long lies between two looks for markers: by that, and a look, latencies are told too high at most."""

SETTLE_S = 2.0
"""What is due in the first seconds is not counted: connections are new."""

PATIENCE_S = 60.0
LAG_EVERY_S = 0.1
MIB = 1 << 20


def run_at(rate: float, seconds: float, series: int, batch: int, partitions: int) -> Run:
    """Measure one rate with one worker."""
    with (
        empty_topic("benchmark", partitions) as topic,
        empty_topic("benchmark", 1) as dead_letters,
        new_database() as dsn,
        workers_on(topic, dsn, 1, dead_letters) as (worker,),
        psycopg.connect(as_reader(dsn), autocommit=True) as session,
        reading_all_of(dead_letters) as consumer,
    ):
        # A batch is what comes together: at low rates it must not be seconds' worth.
        together = max(1, min(batch, round(rate / 100)))
        plan = Plan(Settings().kafka, topic, rate, SETTLE_S + seconds, series, together)
        _introduce(plan, session, worker)
        return _timed(plan, session, consumer, worker)


def _introduce(plan: Plan, session: psycopg.Connection[tuple[Any, ...]], worker: BenchmarkWorker) -> None:
    producer = ReadingsProducer(plan.kafka, plan.topic)
    for message in introduction(plan, time.time()):
        producer.send(message)
    producer.finish(PATIENCE_S)
    _wait_for(lambda: lag_records(session, plan.topic) == 0, lambda: time.sleep(LAG_EVERY_S), worker)


def _timed(
    plan: Plan,
    session: psycopg.Connection[tuple[Any, ...]],
    consumer: Consumer,
    worker: BenchmarkWorker,
) -> Run:
    meter = CpuMeter({"worker": [worker.pid], **service_pids()})
    with sending(plan) as sent:
        counted_from_s, end_s = sent.start_s + SETTLE_S, sent.start_s + plan.seconds
        time.sleep(max(0.0, counted_from_s - time.time()))
        stored, derived = Stored(session, counted_from_s), Derived(consumer, counted_from_s)

        def look() -> None:
            stored.look()
            derived.wait(LOOK_EVERY_S)

        cpu_s, own_s = meter.read(), own_cpu_s()
        while time.time() < end_s:
            worker.check()
            sent.check()
            look()
        used = {name: value - cpu_s[name] for name, value in meter.read().items()}
        used["client"] = own_cpu_s() - own_s
        lag_s = lag_records(session, plan.topic) / plan.messages_per_s
        followed = sent.followed(PATIENCE_S)
        _wait_for(lambda: stored.all_until(end_s) and derived.all_until(end_s), look, worker)
    seconds = plan.seconds - SETTLE_S
    return Run(
        readings=round(plan.rate * seconds),
        seconds=seconds,
        cpu_s={**used, "generator": followed.cpu_s * seconds / plan.seconds},
        more={
            **told("", stored.latencies_s),
            **told("derived_", derived.latencies_s),
            "schedule_slip_p99_ms": followed.slip_p99_ms,
            "lag_s": round(lag_s, 3),
            "worker_mib": round(worker.peak_memory_bytes() / MIB, 1),
        },
    )


def told(prefix: str, latencies_s: Sequence[float]) -> dict[str, float]:
    """Return the fields that tell of some latencies.

    >>> told("derived_", [0.25, 0.25])["derived_p99_ms"]
    250.0
    """
    fields = {f"{name}_ms": value for name, value in percentiles_ms(np.array(latencies_s)).items()}
    fields["samples"] = len(latencies_s)
    return {prefix + name: value for name, value in fields.items()}


def _wait_for(reached: Callable[[], bool], look: Callable[[], None], worker: BenchmarkWorker) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not reached():
        worker.check()
        if time.monotonic() > deadline_s:
            raise UserError(
                f"what was sent did not come out within {PATIENCE_S:.0f} s:"
                " the rate is too high for this machine",
                hint="Ask for a lower one: --rates",
            )
        look()


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
