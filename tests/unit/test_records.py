"""What lasts longer than ever is told of once, and learnt from."""

from __future__ import annotations

import numpy as np

from streams.core.detect.episodes import NOTICE, Episode
from streams.core.detect.records import LEARNT, Records

ROW = np.array([0])


def told(
    statistics: list[float], ready_from: int = 0, since_us: int | None = -100
) -> tuple[list[int], list[Episode], Records]:
    """``since_us``: when all of them began; each of them is of its own where it is None."""
    records, began, ended = Records(times=2.0, least=10.0, reason=3), list[int](), list[Episode]()
    records.grow(1)
    for time_us, statistic in enumerate(statistics):
        now_us, since = np.array([time_us]), np.array([time_us if since_us is None else since_us])
        ready = now_us >= ready_from
        found = records.update(ROW, np.array([7]), now_us, np.array([statistic]), since, ready)
        began += [time_us] * bool(found.began[0])
        ended += found.ended
    return began, ended, records


def test_an_episode_lasts_until_the_statistic_falls_below_half_of_its_peak() -> None:
    began, ended, _ = told([0.0, 9.0, 11.0, 30.0, 16.0, 14.9])

    assert began == [2]
    assert ended == [Episode(7, -100, 3, 4, peak=NOTICE * 3.0, reason=3, direction=1)]


def test_what_was_seen_before_is_told_of_at_twice_as_much() -> None:
    assert told([15.0, 0.0, 29.0, 0.0, 57.9, 0.0])[0] == [0]
    assert told([15.0, 0.0, 30.0, 0.0, 60.0])[0] == [0, 2, 4]


def test_small_ones_are_nothing() -> None:
    assert told([9.9, 0.0] * 20)[0] == []


def test_what_lasted_forever_hides_little() -> None:
    assert told([10_000.0, 0.0, 2 * LEARNT * 10.0 - 0.1, 0.0])[0] == [0]
    assert told([10_000.0, 0.0, 2 * LEARNT * 10.0, 0.0])[0] == [0, 2]


def test_while_it_warms_up_it_learns_and_says_nothing() -> None:
    assert told([20.0, 0.0, 39.0, 0.0, 80.0], ready_from=2)[0] == [4]


def test_one_that_is_open_is_known() -> None:
    _, ended, records = told([0.0, 12.0, 12.0])

    assert ended == []
    assert [(episode.series, episode.end_us) for episode in records.open()] == [(7, 2)]


def test_each_is_one_of_its_own_where_they_began_at_different_times() -> None:
    began, ended, _ = told([12.0, 40.0, 50.0], since_us=None)

    assert began == [0, 1]
    assert [(episode.start_us, episode.end_us) for episode in ended] == [(0, 0), (1, 1)]


def test_what_is_always_so_long_is_learnt() -> None:
    assert told([300.0] * 50, ready_from=40, since_us=None)[0] == []
