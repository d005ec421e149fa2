"""The places that every sink's promises are asked of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sinks.judging import SLICE_ROWS
from tests.contract.places import MemoryPlace, Place, TimescalePlace
from tests.databases import as_writer

SLICES = {"timescale": SLICE_ROWS, "timescale-in-slices": 1}
"""Slices of 1, 4, 16 readings must come to what the whole comes to."""


@pytest.fixture(params=["memory", *(pytest.param(name, marks=pytest.mark.stack) for name in SLICES)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        yield MemoryPlace()
        return
    owner_dsn = request.getfixturevalue("database")
    opened = TimescalePlace(owner_dsn, as_writer(owner_dsn), SLICES[request.param])
    yield opened
    opened.close()
