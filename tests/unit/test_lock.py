"""What is installed is pinned, verified, and comes from wherever the user's own index is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from streams.settings import PROJECT_ROOT

LOCKS = [PROJECT_ROOT / "requirements.lock", PROJECT_ROOT / "requirements-runtime.lock"]


def pins(lock: Path) -> set[str]:
    found = re.findall(r"^([a-z0-9-]+(?:\[[a-z,-]+\])?==[^\s;\\]+)", lock.read_text(), flags=re.MULTILINE)
    return {pin.strip() for pin in found}


def names(lock: Path) -> set[str]:
    return {re.split(r"[=\[]", pin)[0] for pin in pins(lock)}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    content = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())
    return dict(content["project"])


def required(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9-]", requirement)[0].lower() for requirement in requirements}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_is_pinned_and_hashed(lock: Path) -> None:
    entries = re.split(r"\n(?=[a-z0-9])", lock.read_text())[1:]
    assert len(entries) > 40
    assert all("==" in entry.splitlines()[0] and "--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_no_address_or_path_of_anybody_is_in_it(lock: Path) -> None:
    assert not re.search(r"://|--index|--find-links|--extra-index|file:|/home|/root", lock.read_text())


def test_it_covers_what_the_project_asks_for(project: dict[str, Any]) -> None:
    runtime = required(project["dependencies"])
    dev = required(project["optional-dependencies"]["dev"])
    assert runtime <= names(LOCKS[1])
    assert runtime | dev <= names(LOCKS[0])


def test_containers_get_the_versions_that_were_tested() -> None:
    assert pins(LOCKS[1]) < pins(LOCKS[0])


def test_every_python_gets_the_same_versions() -> None:
    assert len(pins(LOCKS[0])) == len(names(LOCKS[0]))
