"""Episodes begin once, and end after quiet."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.detect.episodes import LEVELS, NOTICE, REFRACTORY, Episode, Episodes, Severity


def told(surprises: list[float]) -> tuple[list[int], list[Episode], Episodes]:
    episodes, began, ended = Episodes(), [], []
    episodes.grow(1)
    for time_us, surprise in enumerate(surprises):
        found = episodes.update(
            np.array([0]),
            np.array([7]),
            np.array([time_us]),
            np.array([surprise]),
            np.array([time_us % 5]),
            np.array([-1.0]),
        )
        began += [time_us] * bool(found.began[0])
        ended += found.ended
    return began, ended, episodes


QUIET = [0.0] * REFRACTORY


def test_it_lasts_from_the_first_to_the_last_surprise_and_knows_the_worst() -> None:
    began, ended, _ = told([0.0, NOTICE, 0.0, 2.1, 0.0, 1.3, *QUIET])

    assert began == [1]
    assert ended == [Episode(7, start_us=1, peak_us=3, end_us=5, peak=2.1, reason=3, direction=-1)]


def test_one_that_goes_on_is_told_once() -> None:
    began, ended, episodes = told([NOTICE] * 200)

    assert (began, ended) == ([0], [])
    assert [episode.end_us for episode in episodes.open()] == [199]


@pytest.mark.parametrize(("quiet", "count"), [(REFRACTORY - 1, 1), (REFRACTORY, 2)])
def test_so_much_quiet_is_between_two(quiet: int, count: int) -> None:
    assert len(told([2.0, *[0.0] * quiet, 2.0])[0]) == count


def test_nothing_surprising_is_nothing() -> None:
    assert told([np.nextafter(NOTICE, 0.0)] * 99)[:2] == ([], [])


@pytest.mark.parametrize(("level", "severity"), list(zip(LEVELS, Severity, strict=True)))
def test_severity_is_that_of_the_peak(level: float, severity: Severity) -> None:
    assert Episode(0, 0, 0, 0, level, 0, 1).severity is severity
