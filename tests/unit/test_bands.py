from __future__ import annotations

import numpy as np
import pytest

from streams.core.forecast.bands import Bands


def test_a_tenth_of_new_errors_is_beyond_each_bound() -> None:
    random = np.random.default_rng(0)
    spread = np.where(np.arange(24) < 12, 1.0, 5.0)
    seen, new = random.normal(size=(40, 24)) * spread, random.normal(size=(2000, 24)) * spread
    bands = Bands.of(seen)

    assert np.mean(new < bands.below(0.1)) == pytest.approx(0.1, abs=0.03)
    assert np.mean(new > bands.below(0.9)) == pytest.approx(0.1, abs=0.03)
    assert bands.below(0.9)[20] > 3 * bands.below(0.9)[5], "wide where errors are large"


def test_few_errors_make_wide_bands() -> None:
    errors = np.random.default_rng(1).normal(size=(40, 24))

    assert Bands.of(errors[:2]).wider > Bands.of(errors).wider > 1.0


def test_hours_that_were_right_by_chance_are_not_sure() -> None:
    errors = np.ones((5, 24))
    errors[::2] = -1.0
    errors[:, 10:15] = 0.0

    assert Bands.of(errors).below(0.9)[12] > 0.1


def test_what_was_always_right_has_no_band() -> None:
    bands = Bands.of(np.zeros((3, 24)))

    assert not bands.below(0.9).any() and not bands.paths(5).any()


def test_an_hour_of_which_nothing_is_known_is_like_the_others() -> None:
    errors = np.random.default_rng(2).normal(size=(10, 24))
    errors[:, 3:12] = np.nan

    assert np.isfinite(Bands.of(errors).below(0.9)).all()


def test_paths_have_the_bands_and_neighbours_that_err_alike() -> None:
    random = np.random.default_rng(3)
    errors = np.cumsum(random.normal(size=(60, 24)), axis=1)
    bands = Bands.of(errors)
    paths = bands.paths(4000)

    np.testing.assert_allclose(np.quantile(paths, 0.9, axis=0), bands.below(0.9), rtol=0.15)
    assert bands.alike > 0.8
    assert np.corrcoef(paths[:, 10], paths[:, 11])[0, 1] > 0.7
    np.testing.assert_array_equal(paths, bands.paths(4000), "the same each time")
