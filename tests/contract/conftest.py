"""The places that every sink's promises are asked of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.places import MemoryPlace, Place, TimescalePlace
from tests.databases import as_writer


@pytest.fixture(params=["memory", pytest.param("timescale", marks=pytest.mark.stack)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        yield MemoryPlace()
        return
    owner_dsn = request.getfixturevalue("database")
    opened = TimescalePlace(owner_dsn, as_writer(owner_dsn))
    yield opened
    opened.close()
