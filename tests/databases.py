"""Databases of their own for tests, made beside the one of the stack and dropped afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from streams.settings import Settings

END_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = %s AND pg_has_role(usesysid, 'USAGE')
"""


@contextmanager
def empty_database() -> Iterator[str]:
    """Yield the connection string, as the owner, of a new database."""
    name = f"sg_test_{uuid4().hex[:12]}"
    owner_dsn = Settings().owner_dsn
    with psycopg.connect(owner_dsn, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield make_conninfo(owner_dsn, dbname=name)
        finally:
            # FORCE would fail whenever the server's own workers, such as autovacuum, are at work there.
            server.execute(END_SESSIONS, (name,))
            server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def as_writer(owner_dsn: str) -> str:
    """Return how a worker connects to the database of ``owner_dsn``."""
    return make_conninfo(Settings().writer_dsn, dbname=conninfo_to_dict(owner_dsn)["dbname"])


def as_reader(owner_dsn: str) -> str:
    """Return how an analyst connects to the database of ``owner_dsn``."""
    return make_conninfo(Settings().reader_dsn, dbname=conninfo_to_dict(owner_dsn)["dbname"])
