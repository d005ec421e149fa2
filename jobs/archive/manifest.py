"""What the database knows of the files of the archive."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import blake2s
from typing import Any
from urllib.parse import quote

from psycopg.rows import class_row

from jobs.archive.chunks import Chunk, Connection
from jobs.archive.parquet import Content
from jobs.archive.target import ArchiveError, Target
from sinks.timescale.times import timestamp

MAX_DIRECTORY_CHARS = 200

_ENTRY = """
    id, path, tenant, begins, ends, cardinality(series_ids) AS series, readings, first_ts, last_ts, lowest,
    highest, bytes, sha256, archived_at, restored_until
"""
_FILE = f"{_ENTRY}, series_ids"
_CHOSEN = """
    (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    AND (%(since)s::timestamptz IS NULL OR ends > %(since)s)
    AND (%(until)s::timestamptz IS NULL OR begins < %(until)s)
"""
_CHOOSE = f"FROM archive_files WHERE {_CHOSEN} ORDER BY begins, tenant, id"
_ENTRIES = f"SELECT {_ENTRY} {_CHOOSE}"
_FILES = f"SELECT {_FILE} {_CHOOSE}"
_ADD = f"""
    INSERT INTO archive_files
        (path, tenant, begins, ends, series_ids, counts, readings, first_ts, last_ts, lowest, highest, bytes,
         sha256)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    RETURNING {_FILE}
"""
_HOLD = """
    UPDATE archive_files SET restored_until = greatest(restored_until, %s) WHERE id = %s
"""
_RELEASE = f"""
    UPDATE archive_files SET restored_until = %(at)s WHERE {_CHOSEN} AND restored_until > %(at)s
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the archive, a row of table ``archive_files``; ``series`` is how many it has."""

    id: int
    path: str
    tenant: str
    begins: datetime
    ends: datetime
    series: int
    readings: int
    first_ts: datetime
    last_ts: datetime
    lowest: float | None
    highest: float | None
    bytes: int
    sha256: str
    archived_at: datetime
    restored_until: datetime | None

    def document(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class File(Entry):
    """A file with the numbers of all its series, of which there may be very many."""

    series_ids: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which files are meant: of one tenant, and of chunks that overlap a time."""

    tenant: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def list_entries(session: Connection, choice: Choice) -> list[Entry]:
    """Return the chosen files without the numbers of their series, the earliest chunk first."""
    with session.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(_ENTRIES, asdict(choice)).fetchall()


def list_files(session: Connection, choice: Choice) -> list[File]:
    """Return the chosen files, the earliest chunk first; meant for those of a chunk."""
    with session.cursor(row_factory=class_row(File)) as cursor:
        return cursor.execute(_FILES, asdict(choice)).fetchall()


def path_of(tenant: str, chunk: Chunk) -> str:
    """Return where files of a tenant's readings of a chunk go, without what tells one from another.

    >>> path_of("acme", Chunk(0, 86_400_000_000))
    'acme/1970/1970-01-01T0000Z.parquet'
    """
    begins = timestamp(chunk.begins_us)
    return f"{directory_of(tenant)}/{begins:%Y}/{begins:%Y-%m-%dT%H%MZ}.parquet"


def directory_of(tenant: str) -> str:
    """Return the directory of a tenant, whatever letters its name has.

    >>> directory_of("acme"), directory_of("../a b")
    ('acme', '%2E.%2Fa%20b')
    """
    name = quote(tenant, safe="")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if len(name) > MAX_DIRECTORY_CHARS:
        name = f"{name[: MAX_DIRECTORY_CHARS - 17]}~{blake2s(tenant.encode(), digest_size=8).hexdigest()}"
    return name


def add_file(
    session: Connection,
    path: str,
    tenant: str,
    chunk: Chunk,
    counts: Mapping[int, int],
    content: Content,
    file: tuple[int, str],
) -> File:
    """Note a file that was read back, with how many readings each series has in it.

    ``file`` is its size in bytes and its SHA-256.
    """
    row = (
        path,
        tenant,
        timestamp(chunk.begins_us),
        timestamp(chunk.ends_us),
        list(counts),
        list(counts.values()),
        content.readings,
        timestamp(content.first_us),
        timestamp(content.last_us),
        *(None if math.isnan(value) else value for value in (content.lowest, content.highest)),
        *file,
    )
    with session.cursor(row_factory=class_row(File)) as cursor:
        (added,) = cursor.execute(_ADD, row).fetchall()
    return added


def hold_file(session: Connection, file: Entry, until: datetime) -> None:
    """Note that a file's readings are restored, and are not to be dropped again before ``until``."""
    session.execute(_HOLD, (until, file.id))


def release_files(session: Connection, choice: Choice, at: datetime) -> int:
    """Have what is restored of the chosen files be kept no longer than ``at``; return of how many files."""
    return session.execute(_RELEASE, {**asdict(choice), "at": at}).rowcount


def check_file(target: Target, file: Entry) -> None:
    """Compare a file with what was written. Raises ArchiveError where a byte of it is another."""
    size = target.size(file.path)
    if size != file.bytes:
        raise damaged(target, file, f"it has {size:,} bytes, and had {file.bytes:,}")
    found = target.sha256(file.path)
    if found != file.sha256:
        raise damaged(target, file, f"its SHA-256 is {found}, and was {file.sha256}")


def damaged(target: Target, file: Entry, how: str) -> ArchiveError:
    """Return the error that says how a file is not what was written."""
    return ArchiveError(
        f"{target.where(file.path)} is damaged: {how}",
        hint="Bring it back from a copy of the archive. What is stored of its time is not dropped.",
    )
