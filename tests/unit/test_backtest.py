from __future__ import annotations

from collections.abc import Collection

import numpy as np

from streams.core.batch import Float64
from streams.core.forecast.backtest import BEST, choose, no_fits, origins_of

HORIZON = 24


def wave(days: int) -> Float64:
    hour = np.arange(days * 24)
    return np.sin(2 * np.pi * hour / 24) + 0.3 * np.random.default_rng(0).normal(size=days * 24)


def test_origins_are_as_far_from_each_other_as_days() -> None:
    assert origins_of(100 * 24, 24)[:2] == [99 * 24, 98 * 24]
    assert len(origins_of(100 * 24, 24)) == 7
    assert origins_of(95, 24) == []


def test_no_model_sees_what_came_after_its_origin() -> None:
    seen: dict[int, list[Float64]] = {}

    def spy(history: Float64, _horizon: int, _wanted: Collection[str] | None) -> dict[str, Float64]:
        seen.setdefault(len(history), []).append(history)
        return {}

    value = wave(14)
    origins = origins_of(len(value), HORIZON)
    choose(value, origins, HORIZON, spy)
    before = {size: histories[0] for size, histories in seen.items()}
    seen.clear()
    changed = value.copy()
    changed[10 * 24 :] = 99.0
    choose(changed, origins, HORIZON, spy)

    assert set(before) == set(seen) == set(origins)
    for origin in origins:
        same = np.array_equal(before[origin], seen[origin][0])
        assert same == (origin <= 10 * 24)


def test_a_model_that_knows_is_chosen_and_one_that_guesses_is_not() -> None:
    hour = np.arange(14 * 24)
    value = np.cos(hour / 7.3) + 0.001 * hour

    def models(history: Float64, horizon: int, wanted: Collection[str] | None) -> dict[str, Float64]:
        ahead = np.arange(len(history), len(history) + horizon)
        right = np.cos(ahead / 7.3) + 0.001 * ahead
        all_of_them = {**{f"right {number}": right for number in range(BEST)}, "wrong": right + 100.0}
        return {name: each for name, each in all_of_them.items() if wanted is None or name in wanted}

    choice = choose(value, origins_of(len(value), HORIZON), HORIZON, models)

    assert choice.models == tuple(f"right {number}" for number in range(BEST))
    assert choice.error < 0.1


def test_what_does_not_beat_the_simplest_is_not_chosen() -> None:
    value = np.cumsum(np.random.default_rng(1).choice([-1.0, 1.0], 14 * 24))

    def worse(history: Float64, horizon: int, _wanted: Collection[str] | None) -> dict[str, Float64]:
        return {f"worse {number}": np.full(horizon, history[-1] + 50.0) for number in range(BEST)}

    assert choose(np.ones(10 * 24), origins_of(240, HORIZON), HORIZON, worse).models == ("naive",)
    assert "worse 0" not in choose(value, origins_of(len(value), HORIZON), HORIZON, worse).models


def test_a_model_that_fails_once_is_not_compared() -> None:
    def sometimes(history: Float64, horizon: int, _wanted: Collection[str] | None) -> dict[str, Float64]:
        return {"sometimes": np.zeros(horizon)} if len(history) > 200 else {}

    value = np.zeros(12 * 24) + wave(12)

    assert "sometimes" not in choose(value, origins_of(len(value), HORIZON), HORIZON, sometimes).models


def test_a_gap_in_what_happened_does_not_count() -> None:
    value = wave(12)
    value[-30:-10] = np.nan
    choice = choose(value, origins_of(len(value), HORIZON), HORIZON, no_fits)

    assert np.isfinite(choice.error) and np.isnan(choice.errors).any()
