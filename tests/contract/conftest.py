"""A fresh database for each test module that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sinks.timescale.migrate import migrate
from streams.settings import Settings


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """Connection string, as the owner, of a migrated database that is dropped afterwards."""
    name = f"sg_test_{uuid4().hex[:12]}"
    owner = Settings().owner_dsn
    with psycopg.connect(owner, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        dsn = make_conninfo(owner, dbname=name)
        migrate(dsn)
        yield dsn
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
