"""Small graphs made of block characters."""

from __future__ import annotations

from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
GAP = " "


def levels(values: Sequence[float | None]) -> list[int | None]:
    """Return the bar of each value, 0 to 7; None where there is none.

    The scale begins at zero, unless everything lies in the upper half of the range, as a memory's
    use does: then it begins at the least value, so that changes show. All values alike are level 0
    when they are zero and 3 otherwise.

    >>> levels([0.0, 5.0, None, 10.0])
    [0, 4, None, 7]
    """
    known = [value for value in values if value is not None]
    if not known:
        return [None] * len(values)
    low, high = min(known), max(known)
    if low == high:
        return [None if value is None else 3 * (low != 0) for value in values]
    base = 0.0 if 0 <= low < high / 2 else low
    span = high - base
    return [None if value is None else round((value - base) / span * (len(BARS) - 1)) for value in values]


def sparkline(values: Sequence[float | None]) -> str:
    """Return values as bars.

    >>> sparkline([0.0, 5.0, None, 10.0])
    '▁▅ █'
    """
    return "".join(GAP if level is None else BARS[level] for level in levels(values))


def merged(values: Sequence[float | None], size: int) -> list[float | None]:
    """Return the mean of each ``size`` values; None where there is none of them.

    >>> merged([1.0, 3.0, None, 4.0, None, None], 2)
    [2.0, 4.0, None]
    """
    groups = ([v for v in values[i : i + size] if v is not None] for i in range(0, len(values), size))
    return [sum(group) / len(group) if group else None for group in groups]
