from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from psycopg import errors

from jobs.retention.columnstore import keep_compressed


class Server:
    """Answers as a server of one edition, and writes down what it is told."""

    def __init__(
        self, edition: str, *, enabled: bool = False, after_days: int = 0, busy: str = "no statement"
    ) -> None:
        self.edition = edition
        self.enabled = enabled
        self.after_days = after_days
        self.busy = busy
        self.told: list[str] = []

    def execute(self, query: str, arguments: object = ()) -> Any:
        self.told.append(" ".join(query.split()))
        if self.busy in query:
            raise errors.LockNotAvailable("canceling statement due to lock timeout")
        if "compress_after" in query:
            return [(timedelta(days=self.after_days),)]
        self.answer = self.enabled if "compression_enabled" in query else self.edition
        return self

    def fetchall(self) -> list[tuple[object]]:
        return [(self.answer,)]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        self.told.append("BEGIN")
        try:
            yield
        except BaseException:
            self.told.append("ROLLBACK")
            raise
        self.told.append("COMMIT")

    def changes(self) -> list[str]:
        """Return the first two words of what it was told beside questions."""
        return [" ".join(each.split()[:2]) for each in self.told if not each.startswith("SELECT")]


@pytest.mark.parametrize("edition", ["apache", None])
def test_an_edition_that_does_not_compress_is_told_nothing(edition: Any) -> None:
    server: Any = Server(edition)
    assert keep_compressed(server, 7) is False
    assert len(server.told) == 1


@pytest.mark.parametrize("enabled", [False, True])
def test_the_policy_changes_as_a_whole_and_waits_for_no_lock_for_long(enabled: bool) -> None:
    server: Any = Server("timescale", enabled=enabled, after_days=9)
    assert keep_compressed(server, 7) is True
    policy = ["CALL remove_columnstore_policy('readings',", "CALL add_columnstore_policy('readings',"]
    altered = [] if enabled else ["ALTER TABLE"]
    assert server.changes() == ["BEGIN", "SET LOCAL", *altered, *policy, "COMMIT"]
    assert "SET LOCAL lock_timeout TO '1s'" in server.told


def test_a_policy_that_is_in_force_is_left_alone() -> None:
    server: Any = Server("timescale", enabled=True, after_days=7)
    assert keep_compressed(server, 7) is False
    assert server.changes() == []


@pytest.mark.parametrize("busy", ["ALTER TABLE", "add_columnstore_policy"])
def test_while_others_use_the_table_nothing_changes_and_that_is_said(
    busy: str, caplog: pytest.LogCaptureFixture
) -> None:
    server: Any = Server("timescale", busy=busy)
    assert keep_compressed(server, 7) is False
    assert server.changes()[-1] == "ROLLBACK"
    assert "the next run of retention tries again" in caplog.text
