from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import BinaryIO

import psycopg
import pytest

from jobs.archive.target import UNFINISHED, ArchiveError, Target, needed


def words(text: bytes, error: BaseException | None = None) -> object:
    def fill(file: BinaryIO) -> None:
        file.write(text)
        if error is not None:
            raise error

    return fill


@pytest.mark.parametrize("kind", ["directory", "memory"])
def test_a_file_is_there_as_a_whole_and_replaces_none_but_its_like(kind: str, tmp_path: Path) -> None:
    target = Target(str(tmp_path) if kind == "directory" else "memory://archive")
    texts = (b"one", b"another", b"one")
    files = [target.write("acme/2026/day.parquet", words(text)) for text in texts]  # type: ignore[arg-type]
    assert files[0] == files[2] != files[1]
    for text, (path, digest) in zip(texts, files, strict=True):
        with target.open(path) as file:
            assert file.read() == text
        assert target.size(path) == len(text)
        assert target.sha256(path) == digest
    assert files[1][0] == "acme/2026/day-ae448ac86c4e8e4d.parquet"


def test_what_fails_leaves_the_file_of_before_and_nothing_beside_it(tmp_path: Path) -> None:
    target = Target(str(tmp_path))
    path, _ = target.write("day.parquet", words(b"one"))  # type: ignore[arg-type]
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ArchiveError, match=r"the archive is full: .*day\.parquet cannot be written"):
        target.write("day.parquet", words(b"two", full))  # type: ignore[arg-type]
    assert [each.name for each in tmp_path.iterdir()] == [path]
    assert (tmp_path / path).read_bytes() == b"one"


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


def test_each_directory_that_names_a_new_one_is_brought_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    true = os.fsync

    def fsync(number: int) -> None:
        synced.append(Path(f"/proc/self/fd/{number}").readlink())
        true(number)

    monkeypatch.setattr(os, "fsync", fsync)
    root = tmp_path / "archive"
    target = Target(str(root))
    target.write("acme/2026/one.parquet", words(b"one"))  # type: ignore[arg-type]
    directory = root / "acme" / "2026"
    assert synced[:3] == [tmp_path, root, root / "acme"]
    assert synced[3:] == [directory / f"one.parquet{UNFINISHED}", directory]
    synced.clear()
    target.write("acme/2026/two.parquet", words(b"two"))  # type: ignore[arg-type]
    assert synced == [directory / f"two.parquet{UNFINISHED}", directory]


def test_an_error_that_only_the_backend_knows_is_explained(tmp_path: Path) -> None:
    class NoCredentialsError(Exception):
        """As botocore has it: of no class that others know."""

    with pytest.raises(ArchiveError, match=r"day\.parquet cannot be written: NoCredentialsError") as raised:
        Target(str(tmp_path)).write("day.parquet", words(b"one", NoCredentialsError()))  # type: ignore[arg-type]
    assert "archive_url" in raised.value.hint


def test_an_error_of_the_database_is_no_error_of_the_archive(tmp_path: Path) -> None:
    lost = psycopg.OperationalError("the connection is lost")
    with pytest.raises(psycopg.OperationalError):
        Target(str(tmp_path)).write("day.parquet", words(b"one", lost))  # type: ignore[arg-type]


def test_no_password_of_the_address_is_shown() -> None:
    with pytest.raises(ArchiveError) as raised:
        Target("nowhere://key:secret@bucket/x")
    assert "nowhere://key:***@bucket/x cannot be reached" in str(raised.value)
    target = Target("memory://key:secret@bucket")
    assert target.where("day.parquet") == "memory://key:***@bucket/day.parquet"
    with pytest.raises(ArchiveError) as raised:
        target.sha256("day.parquet")
    assert "secret" not in str(raised.value)
