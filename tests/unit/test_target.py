from __future__ import annotations

import errno
import sys
from pathlib import Path
from typing import BinaryIO

import pytest

from jobs.archive.target import UNFINISHED, ArchiveError, Target, needed


def words(text: bytes, error: BaseException | None = None) -> object:
    def fill(file: BinaryIO) -> None:
        file.write(text)
        if error is not None:
            raise error

    return fill


@pytest.mark.parametrize("kind", ["directory", "memory"])
def test_a_file_is_there_as_a_whole_and_can_be_replaced(kind: str, tmp_path: Path) -> None:
    target = Target(str(tmp_path) if kind == "directory" else "memory://archive")
    for text in (b"one", b"another"):
        target.write("acme/2026/day.parquet", words(text))  # type: ignore[arg-type]
        with target.open("acme/2026/day.parquet") as file:
            assert file.read() == text
        assert target.size("acme/2026/day.parquet") == len(text)
    assert target.sha256("acme/2026/day.parquet").startswith("ae448ac86c4e8e4dec645729708ef41873ae79c6")


def test_what_fails_leaves_the_file_of_before_and_nothing_beside_it(tmp_path: Path) -> None:
    target = Target(str(tmp_path))
    target.write("day.parquet", words(b"one"))  # type: ignore[arg-type]
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ArchiveError, match=r"the archive is full: .*day\.parquet cannot be written"):
        target.write("day.parquet", words(b"two", full))  # type: ignore[arg-type]
    assert (tmp_path / "day.parquet").read_bytes() == b"one"
    assert not (tmp_path / f"day.parquet{UNFINISHED}").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"day\.parquet cannot be read"):
        Target(str(tmp_path)).sha256("day.parquet")


def test_an_address_that_nothing_reaches_is_named() -> None:
    with pytest.raises(ArchiveError, match="nowhere://x cannot be reached"):
        Target("nowhere://x")


def test_what_is_not_installed_is_said_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ArchiveError, match="needs pyarrow, which is not installed") as raised:
        needed("pyarrow.parquet")
    assert "streamgauge[archive]" in raised.value.hint
