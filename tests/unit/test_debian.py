"""Where Debian 13's packages come from on a machine with its own idea of a mirror."""

from __future__ import annotations

import pytest

from infra.stack.debian import Repository, repositories_of

MIRROR = "https://mirror.example/debian/"
SECURITY = "https://mirror.example/security/"


@pytest.mark.parametrize("release", ["bookworm", "oldstable"])
def test_the_machines_own_mirror_is_used_for_the_newer_release(release: str) -> None:
    machine = [
        Repository(MIRROR, release),
        Repository(MIRROR, f"{release}-updates"),
        Repository(SECURITY, f"{release}-security"),
    ]
    assert repositories_of("trixie", machine, "bookworm") == [
        Repository(MIRROR, "trixie"),
        Repository(MIRROR, "trixie-updates"),
        Repository(SECURITY, "trixie-security"),
    ]


def test_a_machine_of_that_release_uses_its_sources_as_they_are() -> None:
    machine = [Repository(MIRROR, "trixie"), Repository(SECURITY, "trixie-security")]
    assert repositories_of("trixie", machine, "trixie") == machine


def test_repositories_of_other_vendors_and_pockets_are_left_out() -> None:
    machine = [
        Repository("https://vendor.example/apt/", "nodistro"),
        Repository(MIRROR, "bookworm-backports"),
        Repository("https://vendor.example/debian/", "jammy"),
    ]
    assert repositories_of("trixie", machine, "bookworm") == []


def test_a_repository_named_twice_is_used_once() -> None:
    machine = [Repository(MIRROR, "bookworm"), Repository(MIRROR, "bookworm")]
    assert repositories_of("trixie", machine, "bookworm") == [Repository(MIRROR, "trixie")]
