"""The native kernel beside NumPy: the same findings, episodes and memory, bit for bit, whatever there is."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.batch import NEVER_US, Points
from streams.core.detect.deviation import HORIZON
from streams.core.detect.lookout import Lookout, Seen
from streams.core.detect.memory import Snapshot
from streams.core.detect.signals import DAY_US, OVERALL_READINGS, SLOT_READINGS
from streams.core.detect.tail import BINS, EVERY, MOST

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is here, so no kernel")

Values = npt.NDArray[np.float64]
Make = Callable[[np.random.Generator, int], Values]

HOSTILE: dict[str, Make] = {
    "constant": lambda _, count: np.full(count, 0.1),
    "noise": lambda random, count: random.normal(size=count),
    "on a level": lambda random, count: 1.7e9 + random.normal(size=count),
    "jumps": lambda random, count: random.choice([0.0, 0.0, 0.0, 0.0, 1.0, -50.0], count),
    "almost constant": lambda random, count: 5.0 + 2.0**-50 * np.rint(random.uniform(0.0, 300.0, count)),
    "ramp": lambda _, count: np.cumsum(np.full(count, 0.1)),
    "heavy tails": lambda random, count: random.standard_cauchy(count),
    "huge": lambda random, count: random.choice([1.0, 1e300, -1e300, 1e100, 1.7e308], count),
    "tiny": lambda random, count: random.choice([0.0, 5e-324, -5e-324, 1e-310, 2.2e-308], count),
    "next to nothing": lambda random, count: random.normal(size=count) * 1e-200,
    "zeros": lambda random, count: random.choice([0.0, -0.0], count),
    "all scales": lambda random, count: random.normal(size=count) * 10.0 ** random.integers(-300, 300, count),
    "none": lambda random, count: random.choice([np.nan, np.inf, -np.inf, 3.0], count),
    "any bits": lambda random, count: random.integers(-(2**63), 2**63, count, np.int64).view(np.float64),
}
STEPS_US = np.array([0, -1, 1, 1000, 60_000_000, 60_000_000, DAY_US // 96, DAY_US, 10**15])


def some(random: np.random.Generator, kinds: list[str], begin_us: int, most: int) -> Points:
    """Make up to ``most`` readings of each kind, a series a kind."""
    parts = []
    for series, kind in enumerate(kinds):
        count = int(random.integers(0, most + 1))
        steps_us = random.choice(STEPS_US, count) if random.random() < 0.5 else np.full(count, 300_000_000)
        parts.append(
            Points(
                np.full(count, series, np.int32),
                begin_us + np.cumsum(steps_us),
                HOSTILE[kind](random, count),
                random.choice(np.array([0, 0, 0, 1, 2], np.int16), count),
            )
        )
    return Points.concat(parts)


def bytes_of(seen: Seen) -> list[object]:
    return [*(column.tobytes() for column in (*seen.findings, seen.began)), repr(seen.ended)]


def held(lookout: Lookout, series: int) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in lookout.snapshot(np.arange(series)).items()}


def both() -> tuple[Lookout, Lookout]:
    return Lookout(most_series=8), Lookout(most_series=8, native=False)


kinds_of_series = st.lists(st.sampled_from(sorted(HOSTILE)), min_size=1, max_size=6)
begins_us = st.sampled_from([0, -(10**15), 1_700_000_000_000_000, -(2**62), 2**62])


@given(st.integers(0, 2**32), kinds_of_series, begins_us, st.lists(st.integers(1, 60), max_size=4))
@settings(max_examples=60)
def test_findings_episodes_and_memory_are_the_same(
    seed: int, kinds: list[str], begin_us: int, chunks: list[int]
) -> None:
    random = np.random.default_rng(seed)
    native, plain = both()
    for number, most in enumerate(chunks):
        points = some(random, kinds, begin_us + number * 60 * 300_000_000, most)
        assert bytes_of(native.update(points)) == bytes_of(plain.update(points))
        assert held(native, len(kinds)) == held(plain, len(kinds))
        assert native.open() == plain.open()


@given(st.integers(0, 2**32), kinds_of_series, st.lists(st.booleans(), min_size=2, max_size=6))
@settings(max_examples=20)
def test_either_goes_on_where_the_other_was(seed: int, kinds: list[str], turns: list[bool]) -> None:
    random = np.random.default_rng(seed)
    everyone, (changing, plain) = np.arange(len(kinds)), both()
    for number, native in enumerate(turns):
        snapshot = changing.snapshot(everyone)
        changing = Lookout(most_series=len(kinds), native=native)
        changing.restore(everyone, snapshot)
        points = some(random, kinds, number * 60 * 300_000_000, 40)
        assert bytes_of(changing.update(points)) == bytes_of(plain.update(points))
    assert held(changing, len(kinds)) == held(plain, len(kinds))


def aged(snapshot: Snapshot, random: np.random.Generator) -> Snapshot:
    """Return what would be remembered of series after thousands of readings, just before counts are full."""
    old = {name: array.copy() for name, array in snapshot.items()}
    for name, array in old.items():
        if name.endswith("signals.state.count"):
            array[:] = OVERALL_READINGS - random.integers(1, 40, len(array))
        elif name.endswith(".state.count"):
            array[:] = HORIZON - random.integers(1, 40, len(array))
        elif name.endswith("slot_count"):
            array[:] = random.integers(SLOT_READINGS - 1, SLOT_READINGS + 1, array.shape)
        elif name.endswith("tail_counts"):
            array[:] = random.integers(0, 2 * MOST // BINS, array.shape)
            array[:, :, 0] = MOST - random.integers(1, EVERY) - array[:, :, 1:].sum(axis=2)
            at_least = old[name.replace("tail_counts", "tail_at_least")]
            at_least[:, :, :-1] = np.cumsum(array[:, :, ::-1], axis=2)[:, :, ::-1]
    return old


@given(st.integers(0, 2**32), kinds_of_series)
@settings(max_examples=15)
def test_they_forget_the_same(seed: int, kinds: list[str]) -> None:
    random = np.random.default_rng(seed)
    native, plain = both()
    for lookout in (native, plain):
        lookout.update(some(np.random.default_rng(seed), kinds, 0, 60))
        everyone = np.arange(len(kinds))
        lookout.restore(everyone, aged(lookout.snapshot(everyone), np.random.default_rng(seed)))
    for number in range(1, 4):
        points = some(random, kinds, number * 10**15, 60)
        assert bytes_of(native.update(points)) == bytes_of(plain.update(points))
        assert held(native, len(kinds)) == held(plain, len(kinds))


def test_many_series_have_the_same_episodes_and_the_same_are_forgotten() -> None:
    random = np.random.default_rng(2)
    native, plain = Lookout(most_series=300), Lookout(most_series=300, native=False)
    ended = 0
    for number in range(8):
        series = np.sort(random.choice(400, 320, replace=False)).astype(np.int32)
        values = random.normal(size=(320, 90))
        values[random.random((320, 90)) < 0.01] += 40.0
        time_us = np.tile(np.arange(90) + number * 90, 320) * 60_000_000
        points = Points(np.repeat(series, 90), time_us, values.ravel(), np.zeros(320 * 90, np.int16))
        seen = native.update(points)
        assert bytes_of(seen) == bytes_of(plain.update(points))
        ended += len(seen.ended)

    assert ended > 300
    assert native.evicted == plain.evicted > 0
    assert native.open() == plain.open()
    assert native.open()


def test_columns_may_be_strided_and_of_the_other_byte_order() -> None:
    points = some(np.random.default_rng(4), ["noise", "jumps"], 0, 60)
    doubled = points.take(np.repeat(np.arange(len(points.value)), 2))
    strided = Points(doubled.series_id[::2], doubled.time_us[::2], doubled.value[::2], doubled.quality[::2])
    swapped = points._replace(time_us=points.time_us.astype(">i8"), value=points.value.astype(">f8"))
    expected = bytes_of(Lookout(most_series=8, native=False).update(points))

    assert not strided.value.flags.c_contiguous
    for same in (strided, swapped):
        assert bytes_of(Lookout(most_series=8).update(same)) == expected


def test_the_first_time_there_is_does_not_count_as_later_than_none() -> None:
    points = Points(np.zeros(1, np.int32), np.array([NEVER_US]), np.ones(1), np.zeros(1, np.int16))
    for lookout in both():
        lookout.update(points)

        assert held(lookout, 1) == held(Lookout(most_series=1), 1)
