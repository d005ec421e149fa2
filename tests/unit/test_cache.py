"""A download is whole or absent, and is made once, whoever asks and whoever is killed."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from infra.stack.cache import built_once, cache_dir


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_it_is_built_when_it_is_first_asked_for_and_kept() -> None:
    builds = []

    def build(draft: Path) -> None:
        builds.append(draft)
        (draft / "jar").write_text("content")

    first, second = built_once("kafka", build), built_once("kafka", build)
    assert (first / "jar").read_text() == "content"
    assert second == first
    assert len(builds) == 1


def test_a_build_that_fails_leaves_nothing_that_looks_finished() -> None:
    def fail(draft: Path) -> None:
        (draft / "half").touch()
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        built_once("kafka", fail)
    assert not (cache_dir() / "kafka").exists()


def test_what_a_killed_build_left_is_cleared_by_the_next() -> None:
    leftover = cache_dir() / "kafka.draft-killed"
    leftover.mkdir(parents=True)
    (leftover / "half").touch()
    built_once("kafka", lambda draft: (draft / "jar").touch())
    assert not leftover.exists()


def test_two_at_once_build_it_once() -> None:
    builds = []
    building, go_on = threading.Event(), threading.Event()

    def build(draft: Path) -> None:
        builds.append(draft)
        building.set()
        assert go_on.wait(30)

    threads = [threading.Thread(target=built_once, args=("kafka", build)) for _ in range(2)]
    threads[0].start()
    assert building.wait(30)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert len(builds) == 1
