"""The places that every sink's promises are asked of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sinks.timescale.sink import Bounds
from tests.contract.places import MemoryPlace, Place, TimescalePlace
from tests.databases import as_writer

BOUNDS = {
    "timescale": Bounds(),
    "timescale-in-slices": Bounds(slice_rows=1),
    "timescale-side-by-side": Bounds(parallel_rows=0),
}
"""Slices of 1, 4, 16 readings, and two connections, must come to what the whole comes to."""


@pytest.fixture(params=["memory", *(pytest.param(name, marks=pytest.mark.stack) for name in BOUNDS)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        yield MemoryPlace()
        return
    owner_dsn = request.getfixturevalue("database")
    opened = TimescalePlace(owner_dsn, as_writer(owner_dsn), BOUNDS[request.param])
    yield opened
    opened.close()
