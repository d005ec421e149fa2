"""Reads what may be more than fits into memory, or into one value of the database, slice of time by slice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sinks.timescale.copy import Rows

MOST_ROWS = 250_000
EVERYTHING = 2**31 - 1

Read = Callable[[int, int, int], Rows]
"""``read(from_us, to_us, most)`` returns the rows of ``[from_us, to_us)``: ``most`` where there are more."""


def read_sliced(
    read: Read, begin_us: int, end_us: int, unit_us: int, most: int = MOST_ROWS, power: int = 0
) -> Iterator[Rows]:
    """Yield the rows of ``[begin_us, end_us)`` in slices of time, the earliest first, of ``most`` at most.

    A slice ends where a unit does. Only a unit that has more is cut, into halves, quarters and so on; a
    single moment never is: it has a row for each series at most. The first has two to the ``power`` units,
    which should have no more: what is read of such a slice is read again.
    """
    at_us = begin_us
    while at_us < end_us:
        to_us = min(slice_end_us(at_us, unit_us, power), end_us)
        is_moment = to_us - at_us == 1
        rows = read(at_us, to_us, EVERYTHING if is_moment else most + 1)
        if len(rows) > most and not is_moment:
            power -= 1
            continue
        yield rows
        at_us = to_us
        power += len(rows) <= most // 4


def slice_end_us(at_us: int, unit_us: int, power: int) -> int:
    """Return where the slice ends that begins at a time: two to the ``power`` units long, or a part of that.

    >>> slice_end_us(60, unit_us=60, power=2), slice_end_us(60, unit_us=60, power=-2)
    (240, 75)
    """
    if power >= 0:
        size_us = unit_us << power
        return (at_us // size_us + 1) * size_us
    begin_us, size_us = at_us // unit_us * unit_us, max(1, unit_us >> -power)
    return min(begin_us + unit_us, begin_us + ((at_us - begin_us) // size_us + 1) * size_us)
