"""The tail probability that is counted, against one from all readings."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.detect import tail
from streams.core.detect.memory import SeriesState
from streams.core.detect.tail import BINS, EVERY, LOG10_AFTER, score_of, surprise, tail_fields

ROW = np.array([0])
LOWEST = 2.0**-5


def counted(statistics: np.ndarray) -> tuple[SeriesState, list[float]]:
    state = SeriesState(tail_fields(1))
    state.grow(1)
    return state, [float(surprise(state, ROW, np.array([[each]]), LOWEST)[0, 0]) for each in statistics]


def test_it_is_the_share_of_what_was_as_large() -> None:
    statistics = np.abs(np.random.default_rng(1).normal(size=3000))
    _, found = counted(statistics)
    for count in range(500, 3000, 97):
        seen = statistics[: count // EVERY * EVERY]
        # Of a bin's bounds the probability is exact; within, it is between those.
        log = np.log2(statistics[count] / LOWEST)
        octave, rest = np.floor(log), 2.0 ** (log - np.floor(log))
        lower = LOWEST * 2.0**octave * (1.5 if rest >= 1.5 else 1.0)
        upper = LOWEST * 2.0**octave * (2.0 if rest >= 1.5 else 1.5)
        shares = [(np.count_nonzero(seen >= bound) + 1) / (len(seen) + 1) for bound in (lower, upper)]
        assert -np.log10(shares[0]) - 1e-9 <= found[count] <= -np.log10(shares[1]) + 1e-9


def test_it_grows_with_the_statistic() -> None:
    state, _ = counted(np.abs(np.random.default_rng(1).normal(size=160)))
    last = 0.0
    for statistic in np.geomspace(LOWEST, 1000.0, 200):
        held = state.snapshot(ROW)
        found = float(surprise(state, ROW, np.array([[statistic]]), LOWEST)[0, 0])
        state.restore(ROW, held)
        assert found >= last
        last = found
    assert last == pytest.approx(np.log10(161))


def test_counts_are_halved_before_they_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "MOST", 64)
    state, _ = counted(np.full(1000, 1.0))

    assert 32 <= state["tail_counts"].sum() <= 64 + EVERY


@pytest.mark.parametrize("statistic", [0.0, LOWEST / 2, LOWEST, 1e6])
def test_every_statistic_has_a_bin(statistic: float) -> None:
    state, _ = counted(np.full(EVERY, statistic))

    assert state["tail_counts"].sum() == EVERY
    assert state["tail_at_least"][0, 0, 0] == EVERY
    assert state["tail_at_least"].shape == (1, 1, BINS + 1)


def test_logarithms_are_far_from_where_they_would_be_rounded_either_way() -> None:
    exact = np.log10(np.arange(1, 2**16 + 1, dtype=np.longdouble)) * 2**28
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6
    assert np.array_equal(LOG10_AFTER * 2.0**28, np.rint(exact))


def test_a_score_is_one_less_the_tail_probability() -> None:
    unusual = np.append(np.random.default_rng(1).random(1000) * 5.0, [0.0, 1.0, 2.0])

    assert np.allclose(score_of(unusual), 1.0 - 10.0**-unusual, rtol=0.0, atol=1e-15)
    assert score_of(np.zeros(1)).tolist() == [0.0]
