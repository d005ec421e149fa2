"""Avro read in lockstep: the same field of many messages at once, one numpy operation for all.

A message that is not of the expected form is marked, never repaired: its cursor moves on over
whatever is there, always forward and never beyond the buffer. Because every cursor moves forward
only, one that stands exactly at the end of its message has read nothing but that message.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from streams.core.batch import UNNUMBERED, Bools, Float64, Int64
from streams.core.wire.rows import INVALID

UInt8 = npt.NDArray[np.uint8]
UInt64 = npt.NDArray[np.uint64]

_PADDING = bytes(16)
_ANYWHERE = -1
_ALL_BITS = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_STOP_BITS = np.uint64(0x8080_8080_8080_8080)
_EIGHT_BYTES = np.uint64(0x0080_8080_8080_8080)
"""The stop bits of a number that takes eight bytes: set in all but the last."""


class Buffer:
    """The values of many messages, joined. ``begin`` and ``end`` say where each message lies.

    >>> buffer = Buffer([b"\\x02ab", b"\\x04"])
    >>> Cursor(buffer, buffer.begin, buffer.end).longs().tolist()
    [1, 2]
    """

    def __init__(self, values: Sequence[bytes]) -> None:
        self.data = b"".join((*values, _PADDING))
        sizes = np.fromiter(map(len, values), np.int64, len(values))
        self.end: Int64 = np.cumsum(sizes)
        self.begin: Int64 = self.end - sizes
        self.beyond = len(self.data) - len(_PADDING) + 1
        """Behind the end of every message, and eight bytes can still be read here."""
        self.octets: UInt8 = np.frombuffer(self.data, np.uint8)
        # Eight bytes from any position, as one little-endian number.
        self.words: UInt64 = np.ndarray(len(self.data) - 7, "<u8", self.data, strides=(1,))

    @cached_property
    def stops(self) -> Int64:
        """The positions of all bytes that can be the last one of a number."""
        return np.flatnonzero(self.octets < 0x80)


class Cursor:
    """Stands at one position in each of many messages; ``good`` says which are as expected so far."""

    def __init__(self, buffer: Buffer, position: Int64, end: Int64) -> None:
        self.position = position.copy()
        self.good: Bools = np.ones(len(position), np.bool_)
        self._buffer = buffer
        self._end = end

    def require(self, fulfilled: Bools) -> None:
        """Mark the messages where ``fulfilled`` is false."""
        self.good &= fulfilled

    def mark(self, wrong: Bools, counts: Int64) -> None:
        """Mark the messages that have a ``wrong`` item, where each has so many items."""
        if wrong.any():
            self.good[np.repeat(np.arange(len(counts)), counts)[wrong]] = False

    def finish(self) -> Bools:
        """Return which messages were as expected and are read to their end."""
        self.good &= self.position == self._end
        return self.good

    def left(self) -> Int64:
        """Return how many bytes each message still has; negative where the cursor ran beyond it."""
        return self._end - self.position

    def skip(self, count: Int64) -> None:
        """Move on by so many bytes; a negative count marks the message."""
        self.require(count >= 0)
        self.position = np.minimum(self.position + np.maximum(count, 0), self._buffer.beyond)

    def longs(self) -> Int64:
        """Read one int or long in each message."""
        octets = self._buffer.octets[self.position]
        if octets.max(initial=0) < 0x80:
            self.position = np.minimum(self.position + 1, self._buffer.beyond)
            return unzigzag(octets.astype(np.uint64))
        words = self._buffer.words[self.position]
        stops = ~words & _STOP_BITS
        self.require(stops != 0)
        mask = stops ^ (stops - np.uint64(1))  # all bits up to the first stop bit
        self.skip(np.bitwise_count(mask).astype(np.int64) >> 3)
        return unzigzag(compact(words & mask))

    def peek_longs(self) -> Int64:
        """Read one int or long in each message and stay before it."""
        position = self.position
        numbers = self.longs()
        self.position = position
        return numbers

    def doubles(self) -> Float64:
        """Read one double in each message."""
        words = self._buffer.words[self.position]
        self.position = np.minimum(self.position + 8, self._buffer.beyond)
        return words.view("<f8")

    def skip_texts(self) -> None:
        """Pass one string in each message."""
        self.skip(self.longs())

    def present(self) -> Bools:
        """Read the branch of a union of null and a type: whether the type follows."""
        branch = self.longs()
        present: Bools = branch == 1
        self.require(present | (branch == 0))
        return present

    def sequences(self) -> Int64:
        """Read a union of null and a sequence number in each message; null is ``UNNUMBERED``."""
        numbered = self.present()
        sequence = np.full(len(numbered), UNNUMBERED, np.int64)
        if numbered.any():
            part = self.at(numbered)
            numbers = part.longs()
            part.require(numbers >= 0)
            self.rejoin(numbered, part)
            sequence[numbered] = numbers
        return sequence

    def at(self, chosen: Bools) -> Cursor:
        """Return a cursor of the chosen messages alone; :meth:`rejoin` brings it back."""
        return Cursor(self._buffer, self.position[chosen], self._end[chosen])

    def rejoin(self, chosen: Bools, other: Cursor) -> None:
        """Take over where the cursor of the chosen messages stands."""
        self.position[chosen] = other.position
        self.good[chosen] &= other.good

    def long_arrays(self, counts: Int64) -> Int64:
        """Read one block of so many longs in each message, and return all of them end to end."""
        block_end = self._open_block(counts)
        place = places(counts)
        numbers = self._narrow(counts, place)
        if numbers is None:
            numbers = self._wide(counts, place)
        if numbers is None:
            numbers = self._of_any_width(counts, place)
        self._close_block(block_end)
        return numbers

    def double_arrays(self, counts: Int64) -> Float64:
        """Read one block of so many doubles in each message, and return all of them end to end."""
        block_end = self._open_block(counts)
        words = self._words(np.repeat(self.position, counts) + 8 * places(counts))
        self.skip(8 * counts)
        self._close_block(block_end)
        return words.view("<f8")

    def _open_block(self, counts: Int64) -> Int64:
        """Read the head of a block; return where it says that it ends, or ``_ANYWHERE``."""
        claimed = self.longs()
        self.require(np.abs(claimed) == counts)
        block_end = np.full(len(counts), _ANYWHERE)
        if (sized := claimed < 0).any():
            part = self.at(sized)
            size = part.longs()
            self.rejoin(sized, part)
            block_end[sized] = part.position + size
        return block_end

    def _close_block(self, block_end: Int64) -> None:
        self.require((block_end == _ANYWHERE) | (block_end == self.position))
        self.require(self.longs() == 0)

    def _words(self, position: Int64) -> UInt64:
        return self._buffer.words[np.minimum(position, self._buffer.beyond)]

    def _narrow(self, counts: Int64, place: Int64) -> Int64 | None:
        """Read numbers of one byte each; None where some have more."""
        position = np.repeat(self.position, counts) + place
        octets = self._buffer.octets[np.minimum(position, self._buffer.beyond)]
        if octets.max(initial=0) >= 0x80:
            return None
        self.skip(counts)
        return unzigzag(octets.astype(np.uint64))

    def _wide(self, counts: Int64, place: Int64) -> Int64 | None:
        """Read numbers of eight bytes each, as microseconds since 1970 are; None where some differ."""
        words = self._words(np.repeat(self.position, counts) + 8 * place)
        if ((words & _STOP_BITS) != _EIGHT_BYTES).any():
            return None
        self.skip(8 * counts)
        return unzigzag(compact(words))

    def _of_any_width(self, counts: Int64, place: Int64) -> Int64:
        """Read numbers of one to eight bytes; a message with a longer one is marked."""
        stops = self._buffer.stops
        index = np.repeat(np.searchsorted(stops, self.position), counts) + place
        after = stops[np.minimum(index, len(stops) - 1)] + 1
        begin = np.empty_like(after)
        begin[1:] = after[:-1]
        filled = counts > 0
        last = np.cumsum(counts)[filled] - 1
        begin[last - counts[filled] + 1] = self.position[filled]
        size = after - begin
        strange = (size < 1) | (size > 8)
        self.mark(strange, counts)
        mask = _ALL_BITS >> (64 - 8 * np.clip(size, 1, 8)).astype(np.uint64)
        numbers = compact(self._words(begin) & mask)
        self.position[filled] = np.maximum(after[last], self.position[filled])
        return unzigzag(numbers)


def places(counts: Int64) -> Int64:
    """Return the position of each item in its own array, for arrays of so many items end to end.

    >>> places(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    end = np.cumsum(counts)
    total = int(end[-1]) if len(end) else 0
    return np.arange(total) - np.repeat(end - counts, counts)


def compact(words: UInt64) -> UInt64:
    """Close the gap that every eighth bit is: seven bits a byte become one number of 56 bits."""
    low = words & np.uint64(0x007F_007F_007F_007F)
    low |= (words & np.uint64(0x7F00_7F00_7F00_7F00)) >> np.uint64(1)
    high = low & np.uint64(0x3FFF_0000_3FFF_0000)
    low &= np.uint64(0x0000_3FFF_0000_3FFF)
    low |= high >> np.uint64(2)
    high = low & np.uint64(0x0FFF_FFFF_0000_0000)
    low &= np.uint64(0x0000_0000_0FFF_FFFF)
    low |= high >> np.uint64(4)
    return low


def unzigzag(numbers: UInt64) -> Int64:
    """Undo Avro's zigzag: 0, 1, 2, 3 stand for 0, -1, 1, -2."""
    return ((numbers >> np.uint64(1)) ^ (np.uint64(0) - (numbers & np.uint64(1)))).view(np.int64)


def bounded(numbers: Int64, largest: int) -> Int64:
    """Return ``numbers`` with ``INVALID`` for each that is not within 0 and ``largest``."""
    return np.where((numbers >= 0) & (numbers <= largest), numbers, INVALID)
