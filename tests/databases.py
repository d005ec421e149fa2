"""Databases of their own for tests, made beside the one of the stack and dropped afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from jobs import scratch
from jobs.scratch import as_reader as as_reader
from jobs.scratch import as_writer as as_writer


def empty_database() -> AbstractContextManager[str]:
    """Yield the connection string, as the owner, of a new database."""
    return scratch.empty_database("test")


@contextmanager
def new_role(owner_dsn: str) -> Iterator[str]:
    """Yield how a new role that may do nothing connects to the database of ``owner_dsn``."""
    name, password = f"sg_test_{uuid4().hex[:12]}", uuid4().hex
    role = sql.Identifier(name)
    with psycopg.connect(owner_dsn, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
        try:
            yield make_conninfo(owner_dsn, user=name, password=password)
        finally:
            owner.execute(sql.SQL("DROP ROLE {}").format(role))


@contextmanager
def tenant_reader(owner_dsn: str, tenant: str) -> Iterator[str]:
    """Yield how a new reader of one tenant connects to the database of ``owner_dsn``."""
    with new_role(owner_dsn) as dsn:
        with psycopg.connect(owner_dsn) as owner:
            owner.execute("SELECT bind_reader(%s::regrole, %s)", (role_of(dsn), tenant))
        yield dsn


def role_of(dsn: str) -> str:
    """Return the role that ``dsn`` logs in."""
    return str(conninfo_to_dict(dsn)["user"])
