"""A worker's connection to TimescaleDB: how it is opened, and what its failures mean."""

from __future__ import annotations

from hashlib import blake2s
from typing import Any

import psycopg
from psycopg import errors

from sinks.protocols import Fenced, SinkUnavailable

Connection = psycopg.Connection[tuple[Any, ...]]

FENCED_SQLSTATE = "SG001"
"""What ``advance_progress`` raises when a partition is not where the flush expects it."""

RETENTION_MOVED_SQLSTATE = "SG002"
"""What it raises when readings are kept from another time on than the flush believed."""

_NAME_PREFIX = "streamgauge/"
_MAX_NAME_BYTES = 63

_SETTINGS = """
    SET search_path TO public;
    SET timezone TO 'UTC';
    SET lock_timeout TO '5s';
    SET statement_timeout TO '60s';
    SET idle_in_transaction_session_timeout TO '10s';
    SET idle_session_timeout TO 0;
    SET tcp_keepalives_idle TO 5;
    SET tcp_keepalives_interval TO 2;
    SET tcp_keepalives_count TO 3;
    SET tcp_user_timeout TO '10s';
    SELECT end_abandoned_sessions();
"""

_OPEN_A_TABLE = "relation_open"
"""The server's function that fails where a chunk was dropped between its look-up and its use."""

_NOT_MIGRATED = (errors.UndefinedTable, errors.UndefinedFunction, errors.UndefinedColumn)
_NOT_NOW = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,
    errors.IdleInTransactionSessionTimeout,
)


def session_name(owner: str) -> str:
    """Return the ``application_name`` of a worker's sessions, one for each owner id.

    PostgreSQL keeps 63 bytes of it and replaces what is not ASCII, so other owner ids are cut and
    told apart by a hash.

    >>> session_name("host-1.0")
    'streamgauge/host-1.0'
    """
    name = _NAME_PREFIX + owner
    if name.isascii() and name.isprintable() and len(name) <= _MAX_NAME_BYTES:
        return name
    readable = "".join(char for char in name if char.isascii() and char.isprintable())
    return f"{readable[: _MAX_NAME_BYTES - 17]}~{blake2s(owner.encode(), digest_size=8).hexdigest()}"


def connect(dsn: str, owner: str) -> Connection:
    """Open a worker's connection in autocommit mode, every wait of it bounded.

    What earlier workers left open, and block others with, is ended. Raises ``psycopg.Error``.
    """
    connection = psycopg.connect(
        dsn,
        autocommit=True,
        application_name=session_name(owner),
        connect_timeout=5,
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=10_000,
    )
    try:
        connection.execute(_SETTINGS)
    except BaseException:
        connection.close()
        raise
    return connection


def translated(error: psycopg.Error) -> Exception:
    """Return what ``error`` means to a worker: fenced, unavailable, or itself where it is a defect."""
    if error.sqlstate == FENCED_SQLSTATE:
        return Fenced(f"{error.diag.message_primary}: it was stored already, or has another owner")
    if error.sqlstate == RETENTION_MOVED_SQLSTATE:
        return SinkUnavailable(f"{error.diag.message_primary}: the flush is judged again")
    if isinstance(error, _NOT_MIGRATED):
        return SinkUnavailable(
            "the database has another schema than this program: run `streamgauge migrate`, or install"
            f" the version that migrated it ({_one_line(error)})"
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return SinkUnavailable(
            f"the database refuses this user: grant it streamgauge_writer ({_one_line(error)})"
        )
    if isinstance(error, errors.InternalError_) and error.diag.source_function == _OPEN_A_TABLE:
        return SinkUnavailable(f"a chunk was dropped meanwhile: it is judged again ({_one_line(error)})")
    if isinstance(error, _NOT_NOW):
        return SinkUnavailable(f"{_advice(error)} ({_one_line(error)})")
    return error


def _advice(error: psycopg.Error) -> str:
    match error:
        case errors.DiskFull():
            return "the database's disk is full: free space, for example by dropping old chunks"
        case errors.TooManyConnections():
            return "the database has no connection left: raise max_connections or run fewer workers"
        case errors.InvalidPassword() | errors.InvalidAuthorizationSpecification():
            return "the database refuses the user or its password: check the writer_url setting"
        case errors.ReadOnlySqlTransaction():
            return "the database is read-only: connect to the primary"
        case errors.LockNotAvailable() | errors.QueryCanceled() | errors.DeadlockDetected():
            return "the database made the flush wait too long: look for long transactions"
        case _:
            return "the database cannot be reached: is it running?"


def _one_line(error: psycopg.Error) -> str:
    return " ".join(str(error).split())
