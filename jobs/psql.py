"""Where psql is, and what it needs to know."""

from __future__ import annotations

import shutil
from pathlib import Path

from psycopg.pq import Conninfo

from infra.stack.cache import cache_dir
from streams.errors import UserError


def psql_command() -> list[str]:
    """Return how to call psql: the machine's own, else the one that came with the local stack.

    Raises :class:`~streams.errors.UserError` when there is neither.
    """
    found = shutil.which("psql")
    if found:
        return [found]
    for root in sorted(cache_dir().glob("debian-*/root"), reverse=True):
        bundled = _bundled(root)
        if bundled:
            return bundled
    raise UserError("there is no psql", hint="Install it: sudo apt-get install postgresql-client")


def _bundled(root: Path) -> list[str]:
    """Return how to call the psql of another root file system, with its own libraries."""
    loaders = [*root.glob("usr/lib/*/ld-linux-*.so.*")]
    programs = [*root.glob("usr/lib/postgresql/*/bin/psql")]
    if not loaders or not programs:
        return []
    return [str(loaders[0]), "--library-path", str(loaders[0].parent), str(programs[-1])]


def psql_environment(dsn: str) -> dict[str, str]:
    """Return the connection as environment variables, which unlike arguments nobody else can read.

    >>> psql_environment("postgresql://me:secret@db/home")
    {'PGUSER': 'me', 'PGPASSWORD': 'secret', 'PGDATABASE': 'home', 'PGHOST': 'db'}
    """
    return {
        option.envvar.decode(): option.val.decode()
        for option in Conninfo.parse(dsn.encode())
        if option.envvar and option.val
    }
