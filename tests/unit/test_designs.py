"""The designs to choose from: the first is the one that is used, and the choice is scored elsewhere."""

from __future__ import annotations

import numpy as np

from jobs.benchmark.designs import DESIGNS, THRESHOLDS, raw_of_designs, surprises_of_all
from jobs.benchmark.detection import chosen, surprises_of
from jobs.benchmark.nab import PROFILES, Labelled


def labelled(seed: int, count: int = 300) -> Labelled:
    values = np.random.default_rng(seed).normal(size=count)
    values[200:205] += 25.0
    return Labelled(f"{seed % 2}/{seed}.csv", np.arange(count) * 60_000_000, values, ((195, 220),))


def test_the_first_design_is_the_one_that_is_used() -> None:
    series = [labelled(1), labelled(2, 250)]
    ours = surprises_of([(one.time_us, one.value) for one in series])

    for surprises, expected in zip(surprises_of_all(series), ours, strict=True):
        assert np.allclose(surprises[:, DESIGNS[0].columns].mean(axis=1), expected, rtol=1e-12)


def test_all_designs_differ() -> None:
    assert len({tuple(design.columns) for design in DESIGNS}) == len(DESIGNS)


def test_a_design_has_a_score_for_each_threshold() -> None:
    raw = raw_of_designs([labelled(1)], PROFILES["standard"], DESIGNS[:2])

    assert raw.shape == (1, 2 * len(THRESHOLDS))
    assert raw.max() > 0.5


def test_what_is_chosen_is_not_better_elsewhere() -> None:
    threshold, everything = chosen([labelled(seed) for seed in range(5)])

    assert (threshold["choices"], everything["choices"]) == (len(THRESHOLDS), len(DESIGNS) * len(THRESHOLDS))
    for found in (threshold, everything):
        assert found["in_sample"] >= found["cross_validated"]
        assert found["in_sample"] >= found["by_folder"]
