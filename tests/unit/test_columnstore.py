from __future__ import annotations

from typing import Any

import pytest

from jobs.retention.columnstore import keep_compressed


class Server:
    """Answers as a server of one edition, and writes down what it is told."""

    def __init__(self, edition: str) -> None:
        self.edition = edition
        self.told: list[str] = []

    def execute(self, query: str, arguments: object = ()) -> Any:
        self.told.append(query)
        return self

    def fetchall(self) -> list[tuple[str]]:
        return [(self.edition,)]


@pytest.mark.parametrize("edition", ["apache", None])
def test_an_edition_that_does_not_compress_is_told_nothing(edition: Any) -> None:
    server: Any = Server(edition)
    assert keep_compressed(server, 7) is False
    assert len(server.told) == 1
