from __future__ import annotations

from pathlib import Path

import pytest

from jobs.psql import psql_command, psql_environment
from streams.errors import UserError


def test_without_any_psql_the_user_is_told_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(UserError, match="no psql") as caught:
        psql_command()
    assert "postgresql-client" in caught.value.hint


def test_the_machines_own_psql_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = tmp_path / "psql"
    own.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert psql_command() == [str(own)]


def test_the_password_is_told_by_the_environment() -> None:
    assert psql_environment("postgresql://me:s%20cret@db:5433/home?sslmode=require") == {
        "PGUSER": "me",
        "PGPASSWORD": "s cret",
        "PGHOST": "db",
        "PGPORT": "5433",
        "PGDATABASE": "home",
        "PGSSLMODE": "require",
    }
