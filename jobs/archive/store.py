"""Writes what is to be dropped to the archive, and reads it back before anybody may drop it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from jobs.archive.chunks import Chunk, Connection, read_chunk
from jobs.archive.manifest import File, add_file, path_of
from jobs.archive.parquet import Account, Names, Readings, packed, read_readings, write_readings
from jobs.archive.target import ArchiveError, Target
from sinks.timescale.slices import MOST_ROWS

_NAMES = "SELECT series_id, source, metric FROM series WHERE series_id = ANY (%s)"


def archive(
    session: Connection, target: Target, tenant: str, chunk: Chunk, counts: Mapping[int, int]
) -> File:
    """Write what some series of a tenant have in a chunk, and note the file once it is read back.

    Nobody stores readings of that time any more. ``counts`` are how many each series has. It may be
    ended at any moment: an unfinished file is written again. Raises ArchiveError, ``psycopg.Error``.
    """
    names: Names = {
        number: (source, metric)
        for number, source, metric in session.execute(_NAMES, (list(counts),)).fetchall()
    }
    account = Account()
    parts = account.of(packed(read_chunk(session, chunk, counts), MOST_ROWS))
    path, digest = target.write(
        path_of(tenant, chunk), lambda file: write_readings(file, tenant, parts, names)
    )
    written = account.content()
    counted = sum(counts.values())
    if written.readings != counted:
        raise ArchiveError(
            f"of {tenant}'s readings of {chunk} {counted:,} were counted and {written.readings:,} read",
            hint="Somebody else stores or deletes readings of that time. Run it again when that has ended.",
        )
    if _read_back(target, path, names) != written:
        raise ArchiveError(
            f"{target.where(path)} was read back, and is not what was written",
            hint="Nothing was dropped. The disk or the network of the archive alters what it is given.",
        )
    return add_file(session, path, tenant, chunk, counts, written, (target.size(path), digest))


def _read_back(target: Target, path: str, names: Names) -> object:
    numbers = {name: number for number, name in names.items()}
    account = Account()
    for _ in account.of(_read(target, path, numbers)):
        pass
    return account.content()


def _read(target: Target, path: str, numbers: Mapping[tuple[str, str], int]) -> Iterator[Readings]:
    with target.open(path) as file:
        yield from read_readings(file, numbers)
