"""Native kernels: small C libraries that do faster what Python does as well, where they were built.

A kernel ``<folder>/<name>.so`` is built from the C files of its folder, and from no others.
"""

from __future__ import annotations

import ctypes
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

Functions = Mapping[str, tuple[type | None, list[type]]]
"""Names of functions without their prefix, and what they return and take."""


class Loaded(NamedTuple):
    """A kernel's functions, or None, and a sentence that says which."""

    library: ctypes.CDLL | None
    state: str


def source_number(folder: Path) -> int:
    """Return the number by which a library tells that it was built from the source in a folder."""
    return zlib.crc32(b"".join(path.read_bytes() for path in sorted(folder.glob("*.[ch]"))))


def load(library: Path, functions: Functions, done: str) -> Loaded:
    """Load a kernel, if it is here and was built from the source beside it. ``done``: what it does.

    >>> load(Path("nowhere.so"), {}, "read").state
    'read in Python: no native kernel was built here'
    """
    if not library.exists():
        return Loaded(None, f"{done} in Python: no native kernel was built here")
    try:
        loaded = ctypes.CDLL(str(library))
        built_from = ctypes.c_uint32.in_dll(loaded, "streamgauge_source").value
    except (OSError, ValueError) as error:
        return Loaded(None, f"{done} in Python: the native kernel cannot be loaded: {error}")
    if built_from != source_number(library.parent):
        return Loaded(None, f"{done} in Python: the native kernel was built from another source")
    for name, (result, arguments) in functions.items():
        function = getattr(loaded, f"streamgauge_{name}")
        function.restype, function.argtypes = result, arguments
    return Loaded(loaded, f"{done} by the native kernel")
