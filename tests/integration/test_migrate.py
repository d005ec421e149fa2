from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from sinks.timescale import migrate as module
from sinks.timescale.migrate import Migration, MigrationError, migrate, pending, shipped
from tests.databases import as_writer, empty_database

pytestmark = pytest.mark.stack

SHIPPED = shipped()
ALL = [migration.name for migration in SHIPPED]


@pytest.fixture
def empty() -> Iterator[str]:
    with empty_database() as dsn:
        yield dsn


def ask(dsn: str, question: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(question).fetchall()


def test_a_new_database_gets_every_migration_once(empty: str) -> None:
    assert migrate(empty) == ALL
    assert migrate(empty) == []
    assert ask(empty, "SELECT name FROM schema_migrations ORDER BY name") == [(name,) for name in ALL]


def test_a_dry_run_tells_and_changes_nothing(empty: str) -> None:
    assert migrate(empty, dry_run=True) == ALL
    assert ask(empty, "SELECT to_regclass('schema_migrations'), to_regclass('readings')") == [(None, None)]
    migrate(empty)
    assert pending(empty) == []


def test_concurrent_calls_apply_each_migration_once(empty: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(migrate, [empty] * 4))
    assert sorted(results) == [[], [], [], ALL]


def test_only_what_is_missing_is_applied(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as older:
        older.setattr(module, "shipped", lambda: SHIPPED[:2])
        assert migrate(empty) == ALL[:2]
    assert pending(empty) == ALL[2:]
    assert migrate(empty) == ALL[2:]


def test_functions_of_other_extensions_may_have_the_names_of_ours(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of timescaledb_toolkit: arguments tell them apart, and theirs are not shown to tenants."""
    before = [name for name in ALL if name < "0010"]
    with monkeypatch.context() as older:
        older.setattr(module, "shipped", lambda: SHIPPED[: len(before)])
        migrate(empty)
    names = "usable reaching series buckets history gapfill locf interpolate changes delta rate lttb"
    with psycopg.connect(empty) as owner:
        for name in (*names.split(), "time_weighted_avg", "asof_join", "bind_reader", "register_series"):
            owner.execute(f"CREATE FUNCTION {name}(json) RETURNS json IMMUTABLE RETURN $1".encode())
            owner.execute(f"GRANT EXECUTE ON FUNCTION {name}(json) TO PUBLIC".encode())
    assert migrate(empty) == ALL[len(before) :]
    theirs = "pronamespace = 'tenant'::regnamespace AND proargtypes[0] = 'json'::regtype"
    assert ask(empty, f"SELECT proname FROM pg_proc WHERE {theirs}") == []


def test_a_file_that_was_changed_after_it_was_applied_is_an_error(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty)
    changed = [replace(SHIPPED[0], sql="SELECT 1"), *SHIPPED[1:]]
    monkeypatch.setattr(module, "shipped", lambda: changed)
    with pytest.raises(MigrationError, match=f"{ALL[0]}.sql was changed"):
        migrate(empty)
    with pytest.raises(MigrationError, match=f"{ALL[0]}.sql was changed"):
        pending(empty)


def test_a_newer_database_is_an_error(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(empty)
    monkeypatch.setattr(module, "shipped", lambda: SHIPPED[:-1])
    with pytest.raises(MigrationError, match="newer than this program"):
        migrate(empty)


def test_a_database_of_another_history_is_an_error(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(empty)
    monkeypatch.setattr(module, "shipped", lambda: [Migration("0000_other", "SELECT 1"), *SHIPPED])
    with pytest.raises(MigrationError, match="0000_other"):
        migrate(empty)


def test_a_migration_that_fails_is_undone_and_those_before_it_stay(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = Migration("9999_bad", "CREATE TABLE half (); SELECT 1/0")
    monkeypatch.setattr(module, "shipped", lambda: [*SHIPPED, bad])
    with pytest.raises(MigrationError, match=r"9999_bad\.sql was refused and undone: division by zero"):
        migrate(empty)
    assert ask(empty, "SELECT to_regclass('half'), to_regclass('readings') IS NOT NULL") == [(None, True)]
    assert pending(empty) == ["9999_bad"]


def test_a_user_who_may_not_create_the_extension_is_told_what_to_do(empty: str) -> None:
    with pytest.raises(MigrationError, match="may not create the extension") as caught:
        migrate(as_writer(empty))
    assert "CREATE EXTENSION timescaledb" in caught.value.hint


def test_readings_is_a_hypertable_of_days_with_one_index(empty: str) -> None:
    migrate(empty)
    assert ask(
        empty,
        "SELECT time_interval::text FROM timescaledb_information.dimensions"
        " WHERE hypertable_name = 'readings'",
    ) == [("1 day",)]
    ((definition,),) = ask(empty, "SELECT indexdef FROM pg_indexes WHERE tablename = 'readings'")
    assert str(definition).endswith("(series_id, ts)")


def test_a_reading_takes_no_padding(empty: str) -> None:
    """Columns in descending alignment: 23 bytes, of 24 that a row of them takes."""
    migrate(empty)
    assert ask(
        empty,
        "SELECT attname::text, attlen FROM pg_attribute WHERE attrelid = 'readings'::regclass AND attnum > 0"
        " ORDER BY attnum",
    ) == [("ts", 8), ("value", 8), ("series_id", 4), ("quality", 2), ("late", 1)]


UNEXPLAINED = """
    SELECT c.relname, NULL FROM pg_class AS c
    WHERE c.relnamespace::regnamespace::text IN ('public', 'tenant') AND c.relkind IN ('r', 'v')
      AND obj_description(c.oid, 'pg_class') IS NULL
    UNION ALL
    SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace::regnamespace::text IN ('public', 'tenant') AND c.relkind IN ('r', 'v')
      AND a.attnum > 0 AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL
    UNION ALL
    SELECT p.proname, NULL FROM pg_proc AS p
    WHERE p.pronamespace::regnamespace::text IN ('public', 'tenant')
      AND obj_description(p.oid, 'pg_proc') IS NULL
      AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
"""


def test_every_table_view_column_and_function_explains_itself(empty: str) -> None:
    migrate(empty)
    assert ask(empty, UNEXPLAINED) == []
