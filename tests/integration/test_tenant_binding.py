"""Which roles become readers of a tenant, what they are told, and that they stop no worker."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL, Composed, Identifier

from tests.databases import as_writer, new_role, role_of, tenant_reader

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def filled(database: str) -> str:
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(
            "INSERT INTO series (tenant, source, metric)"
            " SELECT tenant, 'pump', 'rpm' FROM unnest('{acme, sesame}'::text[]) AS tenant"
        )
        owner.execute("INSERT INTO tenants VALUES ('acme', 1), ('sesame', 1)")
    return database


@pytest.fixture(scope="module")
def acme(filled: str) -> Iterator[str]:
    with tenant_reader(filled, "acme") as dsn:
        yield dsn


@pytest.fixture
def owner(filled: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(filled, autocommit=True) as session:
        yield session


@pytest.fixture
def role(filled: str) -> Iterator[str]:
    with new_role(filled) as dsn:
        yield role_of(dsn)


def bind(owner: psycopg.Connection[Any], role: str, tenant: str = "acme") -> list[str]:
    """Bind a role, and return what is said of it."""
    said: list[str] = []
    owner.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    owner.execute("SELECT bind_reader(%s::regrole, %s)", (role, tenant))
    return said


def of_role(question: LiteralString, role: str) -> Composed:
    return SQL(question).format(Identifier(role))


def test_readers_are_limited_as_analysts_are(acme: str) -> None:
    with psycopg.connect(acme) as session:
        limits = [
            session.execute(f"SHOW {name}".encode()).fetchone()
            for name in (
                *("statement_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"),
                *("default_transaction_read_only", "search_path"),
            )
        ]
    assert limits == [("5min",), ("5min",), ("1h",), ("on",), ("tenant, public",)]


SEEN = "SELECT DISTINCT tenant FROM tenant.series"


def test_who_is_bound_anew_sees_the_new_tenant_and_who_is_not_bound_nothing(filled: str) -> None:
    with (
        tenant_reader(filled, "sesame") as dsn,
        psycopg.connect(dsn, autocommit=True) as session,
        psycopg.connect(filled, autocommit=True) as owner,
    ):
        asked = session.cursor()
        assert asked.execute(SEEN).fetchall() == [("sesame",)]
        owner.execute("SELECT bind_reader(%s::regrole, 'acme')", (role_of(dsn),))
        assert asked.execute(SEEN).fetchall() == [("acme",)]
        owner.execute("DELETE FROM tenant_readers WHERE reader = %s::regrole", (role_of(dsn),))
        assert asked.execute(SEEN).fetchall() == []
        assert asked.execute("SELECT tenant.mine()").fetchall() == [(None,)]


def test_a_role_of_the_same_name_that_is_made_later_is_another(filled: str) -> None:
    with tenant_reader(filled, "acme") as dsn, psycopg.connect(filled, autocommit=True) as owner:
        role = Identifier(role_of(dsn))
        owner.execute(SQL("DROP ROLE {}").format(role))
        owner.execute(SQL("CREATE ROLE {} IN ROLE streamgauge_tenant").format(role))
        owner.execute(SQL("GRANT {} TO current_user WITH SET TRUE").format(role))
        owner.execute(SQL("SET ROLE {}").format(role))
        assert owner.execute(SEEN).fetchall() == []
        owner.execute("RESET ROLE")


def is_bound(owner: psycopg.Connection[Any], role: str) -> bool:
    return owner.execute("SELECT FROM tenant_readers WHERE reader = %s::regrole", (role,)).rowcount == 1


@pytest.mark.parametrize(
    "other", ["streamgauge_reader", "streamgauge_writer", "streamgauge_owner", "postgres"]
)
def test_roles_of_the_pipeline_are_not_bound(other: str, owner: psycopg.Connection[Any]) -> None:
    with pytest.raises(errors.InvalidGrantOperation, match=f"role {other} has rights to .* as {other}"):
        bind(owner, other)
    assert not is_bound(owner, other)


@pytest.mark.parametrize(
    "right",
    [
        "GRANT streamgauge_reader TO {} WITH INHERIT FALSE",
        "GRANT SELECT (value) ON readings TO {}",
        "GRANT SELECT ON rollup_1d TO {}",
        "GRANT UPDATE (tenant) ON tenant_readers TO {}",
        "GRANT TRIGGER ON readings TO {}",
    ],
)
def test_a_role_with_any_right_in_public_is_not_bound(
    right: str, role: str, owner: psycopg.Connection[Any]
) -> None:
    with owner.transaction(force_rollback=True):
        owner.execute(of_role(right, role))
        with (
            pytest.raises(errors.InvalidGrantOperation, match=f"role {role} has rights to"),
            owner.transaction(),
        ):
            bind(owner, role)
    bind(owner, role)
    assert is_bound(owner, role)


@pytest.mark.parametrize("first", [True, False])
def test_no_reader_can_become_another(
    first: bool, role: str, acme: str, owner: psycopg.Connection[Any]
) -> None:
    both = (role, role_of(acme)) if first else (role_of(acme), role)
    owner.execute(SQL("GRANT {} TO {} WITH INHERIT FALSE").format(*map(Identifier, both)))
    with pytest.raises(errors.InvalidGrantOperation, match="one is a member of the other"):
        bind(owner, role, "sesame")
    assert not is_bound(owner, role)


def test_a_tenant_that_nobody_knows_is_told(role: str, owner: psycopg.Connection[Any]) -> None:
    assert "tenant 'acne' has no series yet" in bind(owner, role, "acne")


def test_a_tenant_that_is_known_is_not_told(role: str, owner: psycopg.Connection[Any]) -> None:
    assert not [line for line in bind(owner, role) if "series" in line]


def test_a_role_that_inherits_nothing_sees_its_tenant(filled: str, owner: psycopg.Connection[Any]) -> None:
    with new_role(filled) as dsn:
        owner.execute(of_role("ALTER ROLE {} NOINHERIT", role_of(dsn)))
        bind(owner, role_of(dsn))
        with psycopg.connect(dsn) as session:
            assert session.cursor().execute(SEEN).fetchall() == [("acme",)]


def test_roles_that_are_gone_are_forgotten(filled: str, role: str, owner: psycopg.Connection[Any]) -> None:
    with tenant_reader(filled, "acme"):
        pass
    bind(owner, role)
    assert owner.execute("SELECT FROM tenant_readers WHERE reader::text ~ '^[0-9]+$'").fetchall() == []


RIGHTS_TO_BIND = (
    "EXECUTE ON FUNCTION bind_reader(regrole, text), advisory_locks_of_all()",
    "SELECT, INSERT, UPDATE, DELETE ON tenant_readers",
    "SELECT ON tenants",
)


def test_whoever_may_not_grant_is_told_what_an_administrator_runs(
    filled: str, role: str, owner: psycopg.Connection[Any]
) -> None:
    with new_role(filled) as dsn:
        for right in RIGHTS_TO_BIND:
            owner.execute(of_role(f"GRANT {right} TO {{}}", role_of(dsn)))
        with psycopg.connect(dsn) as other, pytest.raises(errors.InsufficientPrivilege) as refused:
            other.execute("SET search_path TO public")
            bind(other, role)
        for right in RIGHTS_TO_BIND:
            owner.execute(of_role(f"REVOKE {right} FROM {{}}", role_of(dsn)))
    statement = f"GRANT streamgauge_tenant, {role} TO {role_of(dsn)} WITH ADMIN OPTION;"
    assert statement in str(refused.value.diag.message_hint)
    assert not is_bound(owner, role)


def test_readers_stop_no_new_series(filled: str, acme: str) -> None:
    """What registers series takes turns by a lock that readers have no right to."""
    question = (
        "SELECT series_id FROM register_series('{acme}', '{%s}', '{rpm}', '{\"{}\"}', '{readings}', '{0}', 9)"
    )
    with (
        psycopg.connect(acme) as reader,
        psycopg.connect(as_writer(filled)) as worker,
        psycopg.connect(as_writer(filled)) as another,
    ):
        reader.execute("SELECT pg_advisory_lock(hashtext('streamgauge register_series'))")
        with pytest.raises(errors.InsufficientPrivilege), reader.transaction():
            reader.execute("LOCK TABLE public.tenants IN ACCESS SHARE MODE")
        another.execute("SET lock_timeout TO '50ms'")
        assert worker.execute(question.replace("%s", "new-1").encode()).fetchone() is not None
        with pytest.raises(errors.LockNotAvailable):
            another.execute(question.replace("%s", "new-2").encode())


def test_who_binds_is_told_that_advisory_locks_are_for_all_and_who_can_change_that(
    role: str, owner: psycopg.Connection[Any]
) -> None:
    assert f"role {role} may hold the locks that workers take turns by" in bind(owner, role)
    with pytest.raises(errors.InsufficientPrivilege) as refused:
        owner.execute("SELECT keep_locks_from_readers()")
    assert "as a superuser" in str(refused.value.diag.message_hint)
