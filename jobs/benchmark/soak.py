"""A steady load for a long time: memory, lag, and what grows on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import psutil
import psycopg

from jobs.benchmark.backlog import lag_records
from jobs.benchmark.cpu import CpuMeter, service_pids
from jobs.benchmark.openloop import DELIVER_WITHIN_S, Plan, sending
from jobs.benchmark.pipeline import new_database
from jobs.benchmark.rounds import Say
from jobs.benchmark.workers import BenchmarkWorker, wait_until_ready, workers_on
from jobs.scratch import empty_topic
from streams.core.identities import BYTES_PER_IDENTITY
from streams.settings import Settings

MIB = 1 << 20

MAX_GROWTH = 0.05
MAX_GROWTH_BYTES = 16 * MIB
"""Memory may grow by the larger of both between the last two quarters of a soak."""

MAX_LAG_S = 2.0
"""Lag may grow by as many seconds of load between the last two quarters."""

_STORED = "SELECT coalesce(sum(written), 0)::bigint FROM pipeline_progress WHERE topic = %s"
_SIZES = (
    "SELECT hypertable_size('readings'), pg_database_size(current_database()), pg_current_wal_lsn() - '0/0'"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at one moment; sizes in bytes, lag in Kafka records and in seconds of load."""

    at_s: float
    stored: int
    lag_records: int
    lag_s: float
    worker_bytes: int
    table_bytes: int
    database_bytes: int
    wal_bytes: int
    worker_cores: float
    postgres_cores: float


def judge(samples: Sequence[Sample], memory_fills_after_s: float) -> list[str]:
    """Return what is wrong with a soak: what grew between its last two quarters, or nothing.

    Until the bounded memory of identities is full, memory has to grow and is not judged.
    """
    quarter = len(samples) // 4
    if not quarter:
        return ["the soak was too short to be judged"]
    third, last = samples[-2 * quarter : -quarter], samples[-quarter:]
    faults = []
    if samples[-2 * quarter].at_s >= memory_fills_after_s:
        before, after = (median(sample.worker_bytes for sample in some) for some in (third, last))
        if after - before > max(MAX_GROWTH * before, MAX_GROWTH_BYTES):
            faults.append(f"memory grew from {before / MIB:,.0f} to {after / MIB:,.0f} MiB")
    before, after = (median(sample.lag_s for sample in some) for some in (third, last))
    if after - before > MAX_LAG_S:
        faults.append(f"lag grew from {before:.1f} to {after:.1f} s of load")
    return faults


def memory_fills_after_s(rate: float) -> float:
    """Return how long the memory of identities grows at this rate."""
    return Settings().memory_mb * MIB / BYTES_PER_IDENTITY / rate


class Watcher:
    """Takes samples of one worker."""

    def __init__(
        self,
        session: psycopg.Connection[tuple[Any, ...]],
        worker: BenchmarkWorker,
        plan: Plan,
        start_s: float,
    ) -> None:
        self._session = session
        self._worker = psutil.Process(worker.pid)
        self._plan = plan
        self._start_s = start_s
        self._meter = CpuMeter({"worker": [worker.pid], **service_pids()})
        self._last = (time.time(), self._meter.read())
        self._first_wal = 0

    def sample(self) -> Sample:
        """Look at everything."""
        lag = lag_records(self._session, self._plan.topic)
        ((written,),) = self._session.execute(_STORED, (self._plan.topic,)).fetchall()
        ((table, database, wal),) = self._session.execute(_SIZES).fetchall()
        self._first_wal = self._first_wal or int(wal)
        cores = self._cores()
        return Sample(
            at_s=round(time.time() - self._start_s, 3),
            stored=written,
            lag_records=lag,
            lag_s=round(lag / self._plan.messages_per_s, 3),
            worker_bytes=self._worker.memory_info().rss,
            table_bytes=table,
            database_bytes=database,
            wal_bytes=int(wal) - self._first_wal,
            worker_cores=cores["worker"],
            postgres_cores=cores.get("postgres", 0.0),
        )

    def _cores(self) -> dict[str, float]:
        (then_s, before), (now_s, after) = self._last, (time.time(), self._meter.read())
        self._last = (now_s, after)
        return {
            name: round((used_s - before[name]) / max(now_s - then_s, 1e-3), 3)
            for name, used_s in after.items()
        }


def measure(
    rate: float, minutes: float, every_s: float, series: int, batch: int, partitions: int, say: Say
) -> tuple[dict[str, Any], list[str]]:
    """Run one worker under a steady load; return what was seen, and what is wrong with it."""
    with (
        empty_topic("benchmark", partitions) as topic,
        new_database() as dsn,
        workers_on(topic, dsn, 1) as (worker,),
        psycopg.connect(dsn, autocommit=True) as session,
    ):
        wait_until_ready([worker])
        plan = Plan(Settings().kafka, topic, rate, 60 * minutes, series, batch, marked=False)
        with sending(plan) as sent:
            start_s = sent.start_s
            time.sleep(max(0.0, start_s - time.time()))
            watcher, samples = Watcher(session, worker, plan, start_s), []
            while time.time() < start_s + plan.seconds:
                time.sleep(every_s)
                worker.check()
                sent.check()
                samples.append(watcher.sample())
                last = samples[-1]
                size = f"{last.worker_bytes / MIB:.0f} MiB"
                say(f"{last.at_s:.0f} s: {last.stored:,} stored, {size}, lag {last.lag_s} s")
            followed = sent.followed(DELIVER_WITHIN_S)
    faults = judge(samples, memory_fills_after_s(rate))
    return summed_up(plan, samples, faults, followed.slip_p99_ms), faults


def summed_up(
    plan: Plan, samples: Sequence[Sample], faults: Sequence[str], slip_p99_ms: float
) -> dict[str, Any]:
    """Return a soak as it stands in a report."""
    first, last = samples[0], samples[-1]
    return {
        "name": f"{plan.rate:,.0f}/s for {plan.seconds / 60:g} min",
        "readings_per_s": round((last.stored - first.stored) / max(last.at_s - first.at_s, 1e-3)),
        "max_lag_s": max(sample.lag_s for sample in samples),
        "max_worker_mib": round(max(sample.worker_bytes for sample in samples) / MIB, 1),
        "worker_cores": round(median(sample.worker_cores for sample in samples), 3),
        "postgres_cores": round(median(sample.postgres_cores for sample in samples), 3),
        "schedule_slip_p99_ms": slip_p99_ms,
        "faults": list(faults),
        "samples": [asdict(sample) for sample in samples],
    }
