"""Lines of a file or pipe, in bounded memory and without waiting for more than there is."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

MAX_LINE_BYTES = 1_048_576
IDLE_S = 0.2
_READ_BYTES = 65_536


class LineReader:
    """Reads lines from a file descriptor; ``bytes_read`` says how far it is.

    A line longer than ``MAX_LINE_BYTES`` arrives cut to one byte more than that.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.bytes_read = 0

    def __iter__(self) -> Iterator[bytes | None]:
        """Yield each line without its end, and None whenever nothing came for ``IDLE_S``."""
        rest = b""
        while True:
            if not select.select([self._fd], [], [], IDLE_S)[0]:
                yield None
                continue
            chunk = os.read(self._fd, _READ_BYTES)
            if not chunk:
                break
            self.bytes_read += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
            rest = rest[: MAX_LINE_BYTES + 1]
        if rest:
            yield rest
