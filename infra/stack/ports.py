"""Loopback ports for the services of one checkout."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Collection

from infra.stack.errors import StackError

# Below the range that the kernel hands out to outgoing connections, so that none of those is in the way.
FIRST, LAST = 20_000, 31_999


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port(preferred: int | None, *, seed: str, taken: Collection[int]) -> int:
    """Return ``preferred`` if it is free, else a free port outside ``taken``.

    The search starts where ``seed`` says, so that two checkouts that search at once do not meet.
    """
    if preferred is not None and preferred not in taken and is_free(preferred):
        return preferred
    span = LAST - FIRST + 1
    start = zlib.crc32(seed.encode()) % span
    for step in range(span):
        port = FIRST + (start + step) % span
        if port not in taken and is_free(port):
            return port
    raise StackError(f"no loopback port between {FIRST} and {LAST} is free; see what listens with: ss -tln")
