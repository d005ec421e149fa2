"""Where the archive is: a directory, or whatever fsspec reaches, such as a bucket of S3."""

from __future__ import annotations

import errno
import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import psycopg

from streams.errors import UserError
from streams.masking import MASK, mask_secrets

AT_ONCE_BYTES = 1 << 20
UNFINISHED = ".unfinished"
"""Ends the name of a file that is being written; whoever writes it again replaces it."""

NAMED_CHARS = 16
"""So many characters of its SHA-256 are in the name of a file."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class ArchiveError(UserError):
    """The archive cannot be written or read, or is not what was written; nothing was dropped for it."""


def needed(module: str) -> Any:
    """Import what only the archive needs. Raises ArchiveError where it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ArchiveError(
            f"the archive needs {module.partition('.')[0]}, which is not installed",
            hint='Install it: pip install "streamgauge[archive]"',
        ) from error


class Target:
    """Files below one address, as fsspec takes it: ``/var/archive``, ``s3://bucket/prefix``.

    Every failure of it is an :class:`ArchiveError`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with self._explained("reached"):
            self._files, self._root = needed("fsspec.core").url_to_fs(url)
        self._is_local = "file" in (
            (self._files.protocol,) if isinstance(self._files.protocol, str) else self._files.protocol
        )

    def where(self, path: str) -> str:
        """Return the whole address of a file, as people look for it, without passwords."""
        return f"{mask_secrets(self.url).rstrip('/')}/{path}"

    def write(self, path: str, fill: Callable[[BinaryIO], None]) -> tuple[str, str]:
        """Have ``fill`` write a file; return its path and SHA-256 once all of it is on the disk.

        The path has a part of the SHA-256: a file may replace one of the same bytes, and never another.
        """
        unfinished = self._whole(path) + UNFINISHED
        with self._explained("written", path):
            self._make_directory(str(PurePosixPath(unfinished).parent))
            try:
                with self._files.open(unfinished, "wb") as file:
                    fill(file)
                    if self._is_local:
                        file.flush()
                        os.fsync(file.fileno())
                digest = self.sha256(path + UNFINISHED)
                named = PurePosixPath(path)
                finished = str(named.with_stem(f"{named.stem}-{digest[:NAMED_CHARS]}"))
                self._rename(unfinished, self._whole(finished))
            except BaseException:
                with suppress(Exception):
                    self._files.rm_file(unfinished)
                raise
        return finished, digest

    @contextmanager
    def open(self, path: str) -> Iterator[BinaryIO]:
        """Open a file to read."""
        with self._explained("read", path), self._files.open(self._whole(path), "rb") as file:
            yield file

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of a file, in hexadecimal."""
        digest = sha256()
        with self.open(path) as file:
            while piece := file.read(AT_ONCE_BYTES):
                digest.update(piece)
        return digest.hexdigest()

    def size(self, path: str) -> int:
        """Return how many bytes a file has."""
        with self._explained("read", path):
            return int(self._files.size(self._whole(path)))

    def _whole(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    def _rename(self, old: str, new: str) -> None:
        if not self._is_local:
            self._files.mv(old, new)
            return
        Path(old).replace(new)
        _sync_directory(Path(new).parent)

    def _make_directory(self, directory: str) -> None:
        if not self._is_local:
            self._files.makedirs(directory, exist_ok=True)
            return
        path = Path(directory)
        made = [each for each in (path, *path.parents) if not each.exists()]
        path.mkdir(parents=True, exist_ok=True)
        # A directory is there after a power cut once the one above it, which names it, is on the disk.
        for each in reversed(made):
            _sync_directory(each.parent)

    def _without_secrets(self, text: str) -> str:
        # Backends may name a path with all that stood behind the scheme.
        credentials = self.url.partition("://")[2].rpartition("@")[0]
        text = mask_secrets(text)
        return text.replace(credentials, MASK) if ":" in credentials else text

    @contextmanager
    def _explained(self, done: str, path: str = "") -> Iterator[None]:
        try:
            yield
        except (UserError, psycopg.Error):  # what is written is read from the database meanwhile
            raise
        except Exception as error:  # each backend of fsspec has errors of its own
            where = self.where(path) if path else mask_secrets(self.url)
            if isinstance(error, OSError) and error.errno in _FULL:
                raise ArchiveError(
                    f"the archive is full: {where} cannot be {done} ({error.strerror})",
                    hint="Give it space, then run it again. Nothing was dropped that is not in the archive.",
                ) from error
            raise ArchiveError(
                f"{where} cannot be {done}: {self._without_secrets(str(error)) or type(error).__name__}",
                hint="Look at archive_url and at who may write there, then run it again.",
            ) from error


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
