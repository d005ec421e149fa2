from __future__ import annotations

from collections.abc import Iterator

import pytest

from sinks.timescale.migrate import migrate
from tests.databases import empty_database


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """Connection string, as the owner, of a migrated database that is dropped afterwards."""
    with empty_database() as dsn:
        migrate(dsn)
        yield dsn
