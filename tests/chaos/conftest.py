"""One private stack for all tests of a process that break services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rich.console import Console

from tests.chaos.stack import PrivateStack


@pytest.fixture(scope="session")
def private_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateStack]:
    with PrivateStack(tmp_path_factory.mktemp("chaos"), Console(quiet=True)) as stack:
        yield stack
