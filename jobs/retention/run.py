"""One run of retention: gives up, archives, verifies, and only then drops; the earliest chunk first.

It may be ended at any moment: each step is done or not, and the next run goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from jobs.archive.chunks import Chunk, Connection, list_chunks
from jobs.archive.manifest import Choice, File, check_file, list_files
from jobs.archive.store import archive
from jobs.archive.target import ArchiveError, Target
from jobs.retention.dropping import Held, Outbox, Turn, delete_readings, drop_chunk
from jobs.retention.giving_up import Hold, Limits, give_up, given_up
from jobs.retention.rollups import drop_rollups
from sinks.timescale.times import timestamp
from streams.errors import UserError

_TURN = "SELECT pg_try_advisory_lock(hashtext('streamgauge retention'))"
# The last one is for the columnstore: deleting some series of a chunk may decompress more than it would.
_SESSION = """
    SET search_path TO public;
    SET timezone TO 'UTC';
    SET statement_timeout TO 0;
    SET idle_in_transaction_session_timeout TO 0;
    SET timescaledb.max_tuples_decompressed_per_dml_transaction TO 0
"""
_COUNTS = """
    SELECT r.series_id, p.tenant, p.archived, r.readings
    FROM (
        SELECT series_id, count(*) AS readings FROM readings
        WHERE ts >= %(begins)s AND ts < %(ends)s
          AND (%(series)s::int[] IS NULL OR series_id = ANY (%(series)s))
        GROUP BY series_id
    ) AS r
    LEFT JOIN series_policies AS p USING (series_id)
    ORDER BY r.series_id
"""
_BYTES = "SELECT begins, sum(bytes)::bigint FROM capacity_chunks GROUP BY begins"


class Counted(NamedTuple):
    """A series that has readings in a chunk; it has no tenant where no series has its number."""

    series_id: int
    tenant: str | None
    archived: bool | None
    readings: int


@dataclass(slots=True)
class Outcome:
    """What came of the readings of a chunk that are given up. ``held``: why they are not dropped.

    ``whole``: all of the chunk is; else rows of it are deleted. ``bytes``: of the whole chunk, on disk.
    """

    chunk: str
    whole: bool
    readings: int
    bytes: int
    archived: list[str] = field(default_factory=list)
    archived_bytes: int = 0
    dropped: int = 0
    held: str = ""


@dataclass(slots=True)
class Report:
    """What a run did, or would do. ``not_given_up``: why chunks are kept that policies do not keep."""

    dry_run: bool
    kept_from: datetime | None = None
    holds: list[Hold] = field(default_factory=list)
    not_given_up: list[str] = field(default_factory=list)
    chunks: list[Outcome] = field(default_factory=list)
    rollup_chunks: dict[str, int] = field(default_factory=dict)
    rollup_rows: dict[str, int] = field(default_factory=dict)
    held: str = ""

    def document(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {**asdict(self), "holds": [hold._asdict() for hold in self.holds]}


class Watcher:
    """Is told how far a run is; this one does nothing with it."""

    def begin(self, chunks: int) -> None:
        """There are so many chunks of which something is given up."""

    def step(self, chunk: str) -> None:
        """One of them is done."""


@contextmanager
def open_session(dsn: str) -> Iterator[Connection]:
    """Yield the owner's session for retention, archive and restore, of which there is one at a time.

    Raises UserError while another has its turn, ``psycopg.Error``.
    """
    with psycopg.connect(dsn, autocommit=True, application_name="streamgauge-retention") as session:
        session.execute(_SESSION)
        ((mine,),) = session.execute(_TURN).fetchall()
        if not mine:
            raise UserError(
                "another run of retention, archive or restore is under way",
                hint="Wait until it has ended; if its machine is gone, the database ends it within minutes.",
            )
        yield session


def run(
    session: Connection,
    target: Target | None,
    now: datetime,
    *,
    drop: bool = True,
    watcher: Watcher | None = None,
) -> Report:
    """Give up what policies do not keep, archive what they have archived, and drop it unless told not to.

    A chunk that cannot be dropped yet is held, and the others go on. Raises ArchiveError where the
    archive cannot be written: what was done before stays done.
    """
    watcher = watcher or Watcher()
    report, due = _begin(session, give_up(session, now), dry_run=False)
    outbox, turn = Outbox(session), Turn(session)
    sizes = _sizes(session)
    watcher.begin(len(due))
    for chunk, series in due:
        outcome, counts = _outcome(session, chunk, series, sizes)
        if counts or outcome.whole:
            report.chunks.append(outcome)
            try:
                files = _archived(session, target, chunk, counts, now, outcome)
                if drop:
                    _drop(session, target, chunk, counts, files, outbox, turn, outcome)
            except Held as reason:
                outcome.held = str(reason)
        watcher.step(str(chunk))
    if drop:
        _drop_rollups(session, now, turn, report)
    return report


def plan(session: Connection, now: datetime, *, archive_known: bool) -> Report:
    """Return what a run would do; changes nothing."""
    with session.transaction(force_rollback=True):
        report, due = _begin(session, give_up(session, now, dry_run=True), dry_run=True)
        sizes = _sizes(session)
        for chunk, series in due:
            outcome, counts = _outcome(session, chunk, series, sizes)
            if counts or outcome.whole:
                report.chunks.append(outcome)
                try:
                    missing = _missing(counts, _files(session, chunk, counts, now))
                    if missing and not archive_known:
                        raise Held(_NO_ARCHIVE)
                except Held as reason:
                    outcome.held = str(reason)
    return report


_NO_ARCHIVE = (
    "not archived: name an archive_url, or streamgauge retention set --no-archive for what may be lost"
)


def _begin(
    session: Connection, limits: Limits, *, dry_run: bool
) -> tuple[Report, list[tuple[Chunk, list[int] | None]]]:
    """Return a report to fill, and the chunks of which readings are given up with the series; None is all."""
    given = given_up(session)
    chunks = [(chunk, given.of(chunk)) for chunk in list_chunks(session)]
    kept = [chunk for chunk, series in chunks if series is not None]
    report = Report(dry_run, given.everywhere, limits.holds, limits.reasons(kept))
    return report, [(chunk, series) for chunk, series in chunks if series is None or series]


def _sizes(session: Connection) -> dict[datetime, int]:
    """Return the bytes of chunks by when they begin. To look at one costs as much as to look at all."""
    return dict(session.execute(_BYTES).fetchall())


def _outcome(
    session: Connection, chunk: Chunk, series: list[int] | None, sizes: Mapping[datetime, int]
) -> tuple[Outcome, list[Counted]]:
    between = {"begins": timestamp(chunk.begins_us), "ends": timestamp(chunk.ends_us), "series": series}
    counts = [Counted(*row) for row in session.execute(_COUNTS, between)]
    size = sizes.get(timestamp(chunk.begins_us), 0)
    return Outcome(str(chunk), series is None, sum(each.readings for each in counts), size), counts


def _files(session: Connection, chunk: Chunk, counts: list[Counted], now: datetime) -> list[File]:
    """Return the files that have readings of all of a chunk. Raises Held where it is not to be touched."""
    if homeless := [each.series_id for each in counts if each.tenant is None]:
        raise Held(f"it has readings of series {homeless[0]}, which is not in table series")
    begins, ends = timestamp(chunk.begins_us), timestamp(chunk.ends_us)
    files = list_files(session, Choice(since=begins, until=ends))
    restored = [each.restored_until for each in files if each.restored_until and each.restored_until > now]
    if restored:
        raise Held(f"restored from the archive until {max(restored):%F}")
    return [each for each in files if each.begins <= begins and each.ends >= ends]


def _missing(counts: list[Counted], files: list[File]) -> dict[str, dict[int, int]]:
    """Return by tenant how many readings of each series are to be archived and are not."""
    covered = {number for file in files for number in file.series_ids}
    missing: dict[str, dict[int, int]] = {}
    for series_id, tenant, archived, readings in counts:
        if archived and tenant is not None and series_id not in covered:
            missing.setdefault(tenant, {})[series_id] = readings
    return missing


def _archived(
    session: Connection,
    target: Target | None,
    chunk: Chunk,
    counts: list[Counted],
    now: datetime,
    outcome: Outcome,
) -> list[File]:
    """Archive what is to be; return the files of before, which are to be looked at again. Raises Held."""
    files = _files(session, chunk, counts, now)
    missing = _missing(counts, files)
    if missing and target is None:
        raise Held(_NO_ARCHIVE)
    for tenant, of_tenant in sorted(missing.items()):
        if target is not None:
            file = archive(session, target, tenant, chunk, of_tenant)
            outcome.archived.append(file.path)
            outcome.archived_bytes += file.bytes
    asked = {each.series_id for each in counts}
    return [file for file in files if not asked.isdisjoint(file.series_ids)]


def _drop(
    session: Connection,
    target: Target | None,
    chunk: Chunk,
    counts: list[Counted],
    files: list[File],
    outbox: Outbox,
    turn: Turn,
    outcome: Outcome,
) -> None:
    """Drop what is given up of a chunk, once all that is archived of it is as it was written. Raises Held."""
    if files and target is None:
        raise Held(_NO_ARCHIVE)
    for file in files:
        if target is not None:
            _check(target, file)
    outbox.require_delivered()
    if outcome.whole:
        drop_chunk(session, chunk, turn)
        outcome.dropped = outcome.readings
        return
    for gone in delete_readings(session, chunk, {each.series_id: each.readings for each in counts}):
        outcome.dropped += gone


def _check(target: Target, file: File) -> None:
    try:
        check_file(target, file)
    except ArchiveError as error:
        raise Held(str(error)) from error


def _drop_rollups(session: Connection, now: datetime, turn: Turn, report: Report) -> None:
    try:
        for level, chunks, rows in drop_rollups(session, now, turn):
            report.rollup_chunks[level] = report.rollup_chunks.get(level, 0) + chunks
            report.rollup_rows[level] = report.rollup_rows.get(level, 0) + rows
    except Held as reason:
        report.held = str(reason)
