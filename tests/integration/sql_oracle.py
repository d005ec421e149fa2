"""What the SQL functions return, worked out in plain Python: one reading and one bucket after the other.

Times are microseconds since 1970; points are ``(time, value)`` of one series in order of time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from statistics import fmean
from zoneinfo import ZoneInfo

Point = tuple[int, float]
Maybe = float | None

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
ORIGIN_US = 946_857_600 * SECOND_US
"""A Monday, which buckets of a fixed width are counted from."""


def usable(readings: Sequence[tuple[int, float, int]]) -> list[Point]:
    """Return what readings of ``(time, value, quality)`` say, in order of time."""
    return [
        (time, value if abs(value) >= 1e-140 else 0.0)
        for time, value, quality in sorted(readings, key=lambda reading: reading[0])
        if quality != 2 and abs(value) <= 1e140
    ]


def grid(since: int, until: int, width: int | None, zone: str) -> list[int]:
    """Return the begins of the buckets; a width of a day is one of the calendar of ``zone``."""
    if since == until or width is None:
        return [since] * (since < until)
    if width != DAY_US:
        return list(range(since - (since - ORIGIN_US) % width, until, width))
    return list(_midnights(since, until, ZoneInfo(zone)))


def _midnights(since: int, until: int, zone: ZoneInfo) -> Iterator[int]:
    day = datetime.fromtimestamp(since // SECOND_US, zone).date()
    while True:
        # The later of two midnights, and where there is none the moment at which clocks skip it.
        folds = [datetime(day.year, day.month, day.day, tzinfo=zone, fold=fold) for fold in (0, 1)]
        begin = int(max(midnight.timestamp() for midnight in folds)) * SECOND_US
        if begin >= until:
            return
        yield begin
        day += timedelta(days=1)


def buckets_of(points: Sequence[Point], begins: Sequence[int], until: int) -> list[list[Point]]:
    """Return the points of each bucket."""
    return [[point for point in points if a <= point[0] < b] for a, b in _spans(begins, until)]


def _spans(begins: Sequence[int], until: int) -> Iterator[tuple[int, int]]:
    return zip(begins, [*begins[1:], until], strict=False)


def asked(points: Sequence[Point], since: int, until: int) -> list[Point]:
    """Return the points from ``since`` until before ``until``."""
    return [point for point in points if since <= point[0] < until]


def history(points: Sequence[Point], since: int, until: int, reach: int) -> list[Point]:
    """Return the points asked for, with the one before."""
    return [*asked(points, since - reach, since)[-1:], *asked(points, since, until)]


def gapfill(points: Sequence[Point], since: int, until: int, begins: Sequence[int]) -> list[Maybe]:
    """Return the mean of each bucket."""
    parts = buckets_of(asked(points, since, until), begins, until)
    return [fmean(value for _, value in part) if part else None for part in parts]


def locf(points: Sequence[Point], since: int, until: int, begins: Sequence[int], reach: int) -> list[Maybe]:
    """Return the mean of each bucket, or the one before it."""
    held = [(time, value) for time, value in history(points, since, until, reach) if time < since]
    found: list[Maybe] = []
    parts = buckets_of(asked(points, since, until), begins, until)
    for begin, part in zip(begins, parts, strict=True):
        if part:
            held = [(part[-1][0], fmean(value for _, value in part))]
        near = [value for time, value in held if part or time >= max(begin, since) - reach]
        found.append(near[0] if near else None)
    return found


def interpolate(
    points: Sequence[Point], since: int, until: int, begins: Sequence[int], reach: int
) -> list[Maybe]:
    """Return the mean of each bucket, or what is on the line between its neighbours."""
    means = gapfill(points, since, until, begins)
    places = [max(begin, since) for begin in begins]
    anchors = [
        *asked(points, since - reach, since)[-1:],
        *((place, mean) for place, mean in zip(places, means, strict=True) if mean is not None),
        *asked(points, until, until + reach)[:1],
    ]
    found: list[Maybe] = []
    for place, known in zip(places, means, strict=True):
        mean = known
        before = [anchor for anchor in anchors if anchor[0] < place][-1:]
        after = [anchor for anchor in anchors if anchor[0] > place][:1]
        if known is None and before and after and after[0][0] - before[0][0] <= reach:
            (a, low), (b, high) = before[0], after[0]
            mean = low + (high - low) * (place - a) / (b - a)
        found.append(mean)
    return found


def _steps(points: Sequence[Point], since: int, until: int, reach: int) -> list[tuple[Point, Point]]:
    return list(itertools.pairwise(history(points, since, until, reach)))


def delta(points: Sequence[Point], since: int, until: int, begins: Sequence[int], reach: int) -> list[Maybe]:
    """Return what the values of each bucket rose by."""
    steps = _steps(points, since, until, reach)
    parts = [[s for s in steps if a <= s[1][0] < b] for a, b in _spans(begins, until)]
    return [sum(b[1] - a[1] for a, b in part) if part else None for part in parts]


def rate(points: Sequence[Point], since: int, until: int, begins: Sequence[int], reach: int) -> list[Maybe]:
    """Return what the counter of each bucket rose by a second."""
    found: list[Maybe] = []
    steps = _steps(points, since, until, reach)
    for begin, end in _spans(begins, until):
        part = [(a, b) for a, b in steps if begin <= b[0] < end]
        rise = sum(b[1] if b[1] < a[1] else b[1] - a[1] for a, b in part)
        found.append(rise * SECOND_US / sum(b[0] - a[0] for a, b in part) if part else None)
    return found


def time_weighted_avg(
    points: Sequence[Point], since: int, until: int, begins: Sequence[int], reach: int
) -> list[Maybe]:
    """Return the mean of each bucket over the time that values hold in it."""
    seen = history(points, since, until, reach)
    ends = [*(time for time, _ in seen[1:]), until]
    held = [(time, min(end, time + reach), value) for (time, value), end in zip(seen, ends, strict=False)]
    found: list[Maybe] = []
    for begin, end in _spans(begins, until):
        parts = [(min(b, end) - max(a, begin, since), value) for a, b, value in held]
        parts = [(length, value) for length, value in parts if length > 0]
        whole = sum(length for length, _ in parts)
        found.append(sum(length * value for length, value in parts) / whole if whole else None)
    return found


def asof_join(
    points: Sequence[Point], others: Sequence[Point], since: int, until: int, reach: int
) -> list[tuple[int, float, int | None, Maybe]]:
    """Return each point asked for with the last of the others that is not later."""
    found: list[tuple[int, float, int | None, Maybe]] = []
    for time, value in asked(points, since, until):
        near = [other for other in others if time - reach <= other[0] <= time and other[0] >= since - reach]
        found.append((time, value, *(near[-1] if near else (None, None))))
    return found


def lttb(points: Sequence[Point], since: int, until: int, most: int) -> list[Point]:
    """Return the points that Steinarsson's program chooses, with bounds of buckets in whole numbers."""
    data = [((time - since) / SECOND_US, value, time) for time, value in asked(points, since, until)]
    if len(data) <= most:
        return [(time, value) for _, value, time in data]
    bounds = [1 + nth * (len(data) - 2) // (most - 2) for nth in range(most - 1)]
    chosen = [data[0]]
    for nth, (first, end) in enumerate(itertools.pairwise(bounds)):
        following = data[end : bounds[nth + 2]] if nth + 2 < len(bounds) else data[-1:]
        mean_x = sum(x for x, _, _ in following) / len(following)
        mean_y = sum(y for _, y, _ in following) / len(following)
        at, height, _ = chosen[-1]
        areas = [
            abs((at - mean_x) * (y - height) - (at - x) * (mean_y - height)) for x, y, _ in data[first:end]
        ]
        chosen.append(data[first + areas.index(max(areas))])
    return [(time, value) for _, value, time in [*chosen, data[-1]]]
