from __future__ import annotations

from jobs.archive.chunks import Chunk
from jobs.retention.giving_up import GivenUp
from sinks.timescale.times import timestamp

DAY_US = 86_400_000_000
DAY = [Chunk(day * DAY_US, (day + 1) * DAY_US) for day in range(5)]


def test_a_chunk_is_given_up_as_a_whole_for_some_series_or_not_at_all() -> None:
    later = [(timestamp(2 * DAY_US), [5, 2]), (timestamp(4 * DAY_US), [3])]
    given = GivenUp(timestamp(DAY_US), later)
    assert [given.of(day) for day in DAY] == [None, [2, 3, 5], [3], [3], []]
    assert GivenUp(None, later).of(DAY[0]) == [2, 3, 5]


def test_a_chunk_that_goes_on_beyond_what_is_given_up_is_kept() -> None:
    assert GivenUp(timestamp(DAY_US), []).of(Chunk(0, 2 * DAY_US)) == []
