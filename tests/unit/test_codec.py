"""What detectors remember survives as bytes, bit by bit, and a change of what they find is noticed."""

from __future__ import annotations

from hashlib import sha256

import numpy as np

from streams.core.batch import Points
from streams.core.detect.codec import Codec
from streams.core.detect.lookout import Lookout
from streams.core.watch import DESIGN

FOUND = {1: "d44b689c284546a8"}
"""What each design finds in the same readings: where yours differs, raise ``DESIGN`` and add it here."""


def points_of(series: int, readings: int) -> Points:
    random = np.random.default_rng(11)
    values = random.normal(size=series * readings)
    values[random.integers(0, len(values), 20)] *= 40.0
    return Points(
        np.repeat(np.arange(series), readings).astype(np.int32),
        np.tile(np.arange(readings) * 600_000_000, series),
        values,
        np.zeros(len(values), np.int16),
    )


def test_what_is_decoded_is_what_was_encoded() -> None:
    codec, lookout, other = Codec(), Lookout(3), Lookout(3)
    lookout.update(points_of(3, 200))
    series = np.array([2, 0])

    states = codec.encode(lookout, series)
    codec.decode(other, series, states)

    for name, array in other.snapshot(series).items():
        assert np.array_equal(array, lookout.snapshot(series)[name], equal_nan=array.dtype.kind == "f")
    assert states.shape == (2, codec.bytes_per_series)


def test_a_row_fits_into_a_page_of_the_database() -> None:
    assert Codec().bytes_per_series < 4096


def test_other_findings_are_another_design() -> None:
    seen = Lookout(3).update(points_of(3, 400))
    found = np.concatenate([seen.findings.surprise, seen.findings.expected]).round(6) + 0.0

    assert sha256(found.tobytes()).hexdigest()[:16] == FOUND[DESIGN]
