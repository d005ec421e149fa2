"""The ceiling: one connection's binary COPY of the very bytes that the pipeline stored.

The flushes of a drained backlog are read back as they lie in the table: the same rows in the same
order and the same transactions. Sent again into an empty table, nothing is left but the database's
own work.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import psycopg

from jobs.benchmark.cpu import CpuMeter, own_cpu_s, service_pids
from jobs.benchmark.rounds import Run
from jobs.scratch import as_writer
from sinks.timescale.copy import HEADER, READING_BYTES, READINGS, TRAILER, copy_bytes
from sinks.timescale.session import connect
from sinks.timescale.transaction import COMMIT
from streams.errors import UserError

_FLUSHES = "SELECT count(*) FROM readings GROUP BY xmin::text::bigint ORDER BY xmin::text::bigint"
_ROWS = """
    COPY (SELECT ts, value, series_id, quality FROM readings ORDER BY xmin::text::bigint, tableoid, ctid)
    TO STDOUT (FORMAT BINARY)
"""


@dataclass(frozen=True, slots=True)
class Flushed:
    """The rows of each flush, as COPY sends them; 44 bytes a reading."""

    flushes: list[memoryview]

    @property
    def readings(self) -> list[int]:
        """How many readings each flush holds."""
        return [len(rows) // READING_BYTES for rows in self.flushes]


def read_back(dsn: str) -> Flushed:
    """Return the flushes that a database holds, in their order."""
    with psycopg.connect(dsn, autocommit=True) as session:
        sizes = [count * READING_BYTES for (count,) in session.execute(_FLUSHES)]
        rows = bytearray()
        with session.cursor() as cursor, cursor.copy(_ROWS) as copy:
            for some in copy:
                rows += some
    whole = memoryview(rows)[len(HEADER) : len(rows) - len(TRAILER)]
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    return Flushed([whole[end - size : end] for size, end in zip(sizes, ends, strict=True)])


def raw_copy(flushed: Flushed, dsn: str) -> Run:
    """Store flushes in an empty database, each a transaction as the pipeline's is; from first to last."""
    if len(flushed.flushes) < 2:
        raise UserError("one flush has no rate", hint="Ask for more of them: --readings")
    meter = CpuMeter(service_pids())
    with connect(as_writer(dsn), "benchmark") as session:
        _store(session, flushed.flushes[0])
        first_s, own_s, cpu_s = time.perf_counter(), own_cpu_s(), meter.read()
        for rows in flushed.flushes[1:]:
            _store(session, rows)
        seconds = time.perf_counter() - first_s
        used = {name: value - cpu_s[name] for name, value in meter.read().items()}
        used["client"] = own_cpu_s() - own_s
    return Run(readings=sum(flushed.readings[1:]), seconds=seconds, cpu_s=used)


def _store(session: psycopg.Connection[tuple[object, ...]], rows: memoryview) -> None:
    session.execute("BEGIN")
    copy_bytes(session, READINGS, rows)
    session.execute(COMMIT)
