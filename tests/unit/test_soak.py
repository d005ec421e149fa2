"""A soak fails for what grows, and only for that."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobs.benchmark.soak import MIB, Sample, judge

SECONDS = 400


def samples(
    memory: Callable[[int], float], lag_s: Callable[[int], float], count: int = SECONDS
) -> list[Sample]:
    """Return one sample a second."""
    return [
        Sample(
            at_s=at,
            stored=at,
            lag_records=0,
            lag_s=lag_s(at),
            worker_bytes=int(memory(at) * MIB),
            table_bytes=at,
            database_bytes=at,
            wal_bytes=at,
            worker_cores=0.5,
            postgres_cores=0.5,
        )
        for at in range(count)
    ]


def flat(value: float) -> Callable[[int], float]:
    return lambda _: value


def wobbling(at: int) -> float:
    return 300 + at % 7


def test_what_wobbles_passes() -> None:
    assert judge(samples(wobbling, lambda at: at % 5 / 5), memory_fills_after_s=100) == []


def test_a_leak_fails() -> None:
    found = judge(samples(lambda at: 300 + at / 2, flat(0.1)), memory_fills_after_s=100)

    assert found == ["memory grew from 425 to 475 MiB"]


def test_memory_that_has_to_fill_is_no_leak() -> None:
    assert judge(samples(lambda at: 300 + at / 2, flat(0.1)), memory_fills_after_s=SECONDS) == []


def test_lag_that_grows_fails() -> None:
    found = judge(samples(wobbling, lambda at: at / 10), memory_fills_after_s=100)

    assert found == ["lag grew from 24.9 to 35.0 s of load"]


def test_one_long_pause_is_no_growth() -> None:
    assert judge(samples(wobbling, lambda at: 30.0 if 390 <= at < 395 else 0.1), 100) == []


@pytest.mark.parametrize("count", [0, 3])
def test_too_few_samples_prove_nothing(count: int) -> None:
    assert judge(samples(wobbling, flat(0.1), count), 100) == ["the soak was too short to be judged"]
