"""The database and the login roles that the program expects, made if they are missing."""

from __future__ import annotations

import os
from collections.abc import Callable
from urllib.parse import quote

import psycopg
from psycopg import sql

from infra.stack.errors import NotReady, StackError

ADMIN = "postgres"
DATABASE = "streamgauge"
TIMEOUT_S = 5

# Who logs in under which name of the settings, and with which rights of the cluster. What a role may
# do with tables is granted by the migrations.
ROLES = {
    "owner": ("database_url", "LOGIN CREATEDB CREATEROLE"),
    "writer": ("writer_url", "LOGIN"),
    "reader": ("reader_url", "LOGIN"),
}

Secret = Callable[[str], str]


def database_url(location: str, user: str, password: str, database: str) -> str:
    """Return the URL of a database; ``location`` is host and port."""
    return f"postgresql://{user}:{quote(password, safe='')}@{location}/{database}"


def role_urls(location: str, secret: Secret) -> dict[str, str]:
    """Return the URLs of all roles, by the names of the settings that hold them."""
    return {
        setting: database_url(location, f"{DATABASE}_{role}", secret(role), DATABASE)
        for role, (setting, _rights) in ROLES.items()
    }


def provision(admin_url: str, secret: Secret) -> None:
    """Make roles, database and extension; raise :class:`NotReady` while the server does not serve."""
    try:
        with psycopg.connect(admin_url, autocommit=True, connect_timeout=TIMEOUT_S) as server:
            for role, (_setting, rights) in ROLES.items():
                _ensure_role(server, f"{DATABASE}_{role}", rights, secret(role))
            # So that migrations can set the roles' limits, such as the analysts' statement timeout.
            members = f"{DATABASE}_writer, {DATABASE}_reader"
            server.execute(f"GRANT {members} TO {DATABASE}_owner WITH ADMIN OPTION")
            _ensure_database(server)
        home = admin_url.rpartition("/")[0] + f"/{DATABASE}"
        with psycopg.connect(home, autocommit=True, connect_timeout=TIMEOUT_S) as database:
            database.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except psycopg.OperationalError as error:
        if "password authentication failed" in str(error):
            raise StackError(
                "the database does not take this checkout's passwords; was stack.json removed?",
                hint="Put it back, or start afresh: streamgauge stack destroy",
            ) from error
        raise NotReady(f"the database does not answer: {error}") from error


def _ensure_role(server: psycopg.Connection, name: str, rights: str, password: str) -> None:
    known = server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
    server.execute(
        sql.SQL("{verb} ROLE {name} {rights} PASSWORD {password}").format(
            verb=sql.SQL("ALTER" if known else "CREATE"),
            name=sql.Identifier(name),
            rights=sql.SQL(rights),
            password=sql.Literal(password),
        )
    )


def _ensure_database(server: psycopg.Connection) -> None:
    if server.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is None:
        server.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(DATABASE), sql.Identifier(f"{DATABASE}_owner")
            )
        )


if __name__ == "__main__":
    # In docker-compose.yml, where this runs in a container of its own.
    provision(os.environ["ADMIN_URL"], lambda role: os.environ[f"{role.upper()}_PASSWORD"])
