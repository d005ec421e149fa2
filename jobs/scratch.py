"""Databases and topics of their own, for whoever measures or tries something; gone afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from streams.settings import Settings

TIMEOUT_S = 30.0

_END_SESSIONS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = %s AND pg_has_role(usesysid, 'USAGE')
"""


@contextmanager
def empty_database(purpose: str) -> Iterator[str]:
    """Yield the connection string, as the owner, of a new database beside that of the settings."""
    name = f"sg_{purpose}_{uuid4().hex[:12]}"
    owner_dsn = Settings().owner_dsn
    with psycopg.connect(owner_dsn, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield make_conninfo(owner_dsn, dbname=name)
        finally:
            # FORCE would fail whenever the server's own workers, such as autovacuum, are at work there.
            server.execute(_END_SESSIONS, (name,))
            server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def as_writer(owner_dsn: str) -> str:
    """Return how a worker connects to the database of ``owner_dsn``."""
    return make_conninfo(Settings().writer_dsn, dbname=conninfo_to_dict(owner_dsn)["dbname"])


def as_reader(owner_dsn: str) -> str:
    """Return how an analyst connects to the database of ``owner_dsn``."""
    return make_conninfo(Settings().reader_dsn, dbname=conninfo_to_dict(owner_dsn)["dbname"])


@contextmanager
def empty_topic(purpose: str, partitions: int, **config: str) -> Iterator[str]:
    """Yield the name of a new topic; ``_`` in the name of a setting stands for a dot."""
    name = f"{purpose}.{uuid4().hex[:10]}"
    admin = AdminClient({"bootstrap.servers": Settings().kafka, "log_level": 0})
    options = {"message.timestamp.type": "LogAppendTime"}
    options |= {option.replace("_", "."): value for option, value in config.items()}
    admin.create_topics([NewTopic(name, partitions, 1, config=options)])[name].result(TIMEOUT_S)
    try:
        yield name
    finally:
        admin.delete_topics([name])[name].result(TIMEOUT_S)
