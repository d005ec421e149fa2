"""Bring a database to the schema of this program: numbered SQL files, forward only, each once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from typing import Any

import psycopg
from psycopg import errors

from streams.errors import UserError

log = logging.getLogger(__name__)

_LOCK_KEY = 0x53_74_72_67_61_75_67_65
_LOCK_WAIT = "60s"

_JOURNAL = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        name       text PRIMARY KEY,
        checksum   text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    );
    COMMENT ON TABLE schema_migrations IS 'Which files of infra/migrations this database has seen';
    COMMENT ON COLUMN schema_migrations.name IS 'Name of the file, without .sql';
    COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of its text';
    COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied';
"""

_LET_WORKERS_SEE = "GRANT SELECT ON schema_migrations TO streamgauge_writer"
"""A worker waits for the schema it knows. The role is made by the first migration."""

Connection = psycopg.Connection[tuple[Any, ...]]


class MigrationError(UserError):
    """The database cannot be brought to this program's schema; ``hint`` says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of ``infra/migrations``."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the file's text, in hexadecimal."""
        return sha256(self.sql.encode()).hexdigest()


def shipped() -> list[Migration]:
    """Return the migrations of this program in the order of their numbers."""
    found = [file for file in (files("infra") / "migrations").iterdir() if file.name.endswith(".sql")]
    return [
        Migration(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in sorted(found, key=lambda file: file.name)
    ]


def pending(dsn: str) -> list[str]:
    """Return the names of the migrations that the database has yet to see; changes nothing.

    Raises :class:`MigrationError` when they do not fit together, ``psycopg.Error``.
    """
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET search_path TO public")
        return lacking(connection)


def lacking(connection: Connection) -> list[str]:
    """Return the same as :func:`pending`, asked by a connection whose search path is ``public``."""
    return [migration.name for migration in _missing(connection)]


def migrate(dsn: str, dry_run: bool = False) -> list[str]:
    """Apply the missing migrations, each in a transaction, and return their names.

    Concurrent calls wait for one another, for a minute at most. With ``dry_run`` nothing is
    changed. Raises :class:`MigrationError`, ``psycopg.Error``.
    """
    if dry_run:
        return pending(dsn)
    with psycopg.connect(dsn, autocommit=True, application_name="streamgauge migrate") as connection:
        connection.execute("SET search_path TO public")
        connection.add_notice_handler(_pass_warning_on)
        _lock(connection)
        _ensure_extension(connection)
        connection.execute(_JOURNAL)
        missing = _missing(connection)
        for migration in missing:
            _apply(connection, migration)
        connection.execute(_LET_WORKERS_SEE)
        return [migration.name for migration in missing]


def _pass_warning_on(notice: errors.Diagnostic) -> None:
    if notice.severity_nonlocalized == "WARNING":
        log.warning("%s", notice.message_primary)


def _lock(connection: Connection) -> None:
    connection.execute(f"SET lock_timeout TO '{_LOCK_WAIT}'")
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
    except errors.LockNotAvailable as error:
        raise MigrationError(
            f"another migration has run for {_LOCK_WAIT}", hint="Wait until it has ended, then try again."
        ) from error


def _ensure_extension(connection: Connection) -> None:
    if connection.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").fetchone():
        return
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except errors.InsufficientPrivilege as error:
        raise MigrationError(
            "this user may not create the extension in this database",
            hint="As an administrator of this database, run: CREATE EXTENSION timescaledb;",
        ) from error
    except psycopg.Error as error:
        raise MigrationError(
            f"the server has no TimescaleDB: {str(error).splitlines()[0]}",
            hint="Install it, add timescaledb to shared_preload_libraries, and restart the server.",
        ) from error


def _missing(connection: Connection) -> list[Migration]:
    ships = shipped()
    applied = _applied(connection)
    for (name, checksum), migration in zip(applied, ships, strict=False):
        if name != migration.name:
            raise MigrationError(
                f"the database has {name} where this program has {migration.name}",
                hint="It was migrated by another version of the program: use that one, or a later one.",
            )
        if checksum != migration.checksum:
            raise MigrationError(
                f"{name}.sql was changed after it was applied",
                hint="Restore the file, and put the change into a new one.",
            )
    if len(applied) > len(ships):
        raise MigrationError(
            f"the database is newer than this program: it has {applied[-1][0]}",
            hint="Install the version of the program that migrated it, or a later one.",
        )
    return ships[len(applied) :]


def _applied(connection: Connection) -> list[tuple[str, str]]:
    try:
        rows = connection.execute("SELECT name, checksum FROM schema_migrations ORDER BY name").fetchall()
    except errors.UndefinedTable:
        return []
    return [(name, checksum) for name, checksum in rows]


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.sql.encode())
            connection.execute(
                "INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)",
                (migration.name, migration.checksum),
            )
    except psycopg.Error as error:
        raise MigrationError(
            f"{migration.name}.sql was refused and undone: {error.diag.message_primary or error}",
            hint=error.diag.message_hint or "The migrations before it were applied, and stay.",
        ) from error
