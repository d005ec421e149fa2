"""What moved first and most is suspected most."""

from __future__ import annotations

import pytest

from streams.core.detect.episodes import Episode
from streams.core.detect.roots import HALVES_US, TOGETHER_US, ranked, together


def episode(series: int, start_us: int, peak: float = 2.0, lasts_us: int = 0) -> Episode:
    return Episode(series, start_us, start_us, start_us + lasts_us, peak, 0, 1)


def test_the_first_is_suspected_before_an_equal_one() -> None:
    assert [each.episode.series for each in ranked([episode(1, 9), episode(2, 5)])] == [2, 1]


@pytest.mark.parametrize(("peak", "first"), [(3.9, 1), (4.1, 2)])
def test_one_that_came_later_has_to_be_as_much_larger(peak: float, first: int) -> None:
    suspects = ranked([episode(1, 0), episode(2, HALVES_US, peak)])

    assert suspects[0].episode.series == first
    assert sum(suspect.share for suspect in suspects) == pytest.approx(1.0)


def test_ties_go_by_series() -> None:
    assert [each.episode.series for each in ranked([episode(9, 0), episode(3, 0)])] == [3, 9]


def test_nothing_has_no_suspects() -> None:
    assert ranked([]) == []
    assert together([]) == []


def test_what_began_before_another_is_over_belongs_to_it() -> None:
    long, inside, after = episode(1, 0, lasts_us=10**9), episode(2, 10**8), episode(3, 10**9 + TOGETHER_US)
    later = episode(4, after.start_us + TOGETHER_US + 1)

    assert together([later, after, inside, long]) == [[long, inside, after], [later]]
