"""What was read before, so that it is not read again."""

from __future__ import annotations

from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

MAX_REMEMBERED_BYTES = 128 << 20
ENTRY_BYTES = 200
"""What Python needs for an entry besides the names in it, about."""


class Memo(dict[Key, Value]):
    """A dictionary that forgets everything at once when it has grown too large.

    What a name means never changes while it is remembered, so forgetting costs time and nothing else.
    """

    def __init__(self, most_bytes: int = MAX_REMEMBERED_BYTES) -> None:
        super().__init__()
        self._most_bytes = most_bytes
        self._bytes = 0

    def remember(self, key: Key, value: Value, size_bytes: int) -> Value:
        """Keep ``value``, of about so many bytes with its key, and return it."""
        size_bytes += ENTRY_BYTES
        if self._bytes + size_bytes > self._most_bytes:
            self.clear()
            self._bytes = 0
        self._bytes += size_bytes
        self[key] = value
        return value
