from __future__ import annotations

import pytest

from jobs.archive.manifest import MAX_DIRECTORY_CHARS, directory_of


@pytest.mark.parametrize("tenant", ["acme", ".", "..", "a/b", "a b", "tenant=x", "ü" * 200, "x" * 300, "%2E"])
def test_a_tenant_has_one_directory_of_its_own_whatever_its_name(tenant: str) -> None:
    name = directory_of(tenant)
    assert "/" not in name and not name.startswith(".") and len(name) <= MAX_DIRECTORY_CHARS


def test_long_names_that_begin_alike_have_two_directories() -> None:
    assert directory_of("x" * 300) != directory_of("x" * 301)
    assert directory_of(".a") != directory_of("%2Ea")
