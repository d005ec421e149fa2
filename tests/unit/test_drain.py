"""The rate of a drain is told by stored progress, while all workers are at work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from jobs.benchmark.backlog import Backlog
from jobs.benchmark.drain import Mark, Session, Watch, run_between
from jobs.benchmark.workers import Stages
from streams.errors import UserError


class _Progress:
    """Answers each look with the next of some pictures of table progress."""

    def __init__(self, *pictures: list[tuple[Any, ...]]) -> None:
        self._pictures = iter(pictures)

    def execute(self, *_: object) -> Iterator[tuple[Any, ...]]:
        return iter(next(self._pictures))


def _watch(workers: int, *pictures: list[tuple[Any, ...]]) -> Watch:
    return Watch(cast(Session, _Progress(*pictures)), Backlog("t", 200, {0: 10, 1: 10}), workers)


def test_a_claim_is_no_movement() -> None:
    watch = _watch(1, [(0, "a", 0, 0, 5.0)], [(0, "a", 5, 50, 6.0), (1, "a", 0, 0, 9.0)])

    watch.look()
    assert (watch.all_hold(), watch.all_move()) == (True, False)
    watch.look()
    assert watch.all_move()
    assert watch.position == (6.0, 50), "the claim of partition 1 is later, but stored nothing"


def test_two_workers_both_have_to_move() -> None:
    watch = _watch(
        2,
        [(0, "a", 4, 40, 6.0), (1, "a", 4, 40, 6.0)],
        [(0, "a", 5, 50, 7.0), (1, "b", 4, 40, 6.0)],
        [(0, "a", 6, 60, 8.0), (1, "b", 5, 50, 8.0)],
    )

    seen = []
    for _ in range(3):
        watch.look()
        seen.append((watch.all_hold(), watch.all_move()))

    assert seen == [(False, False), (True, False), (True, True)]


def test_the_first_worker_without_work_ends_the_measurement() -> None:
    watch = _watch(
        2,
        [(0, "a", 9, 90, 6.0), (1, "b", 9, 90, 6.0)],
        [(0, "a", 10, 100, 7.0), (1, "b", 9, 90, 6.0)],
        [(0, "a", 10, 100, 7.0), (1, "b", 10, 100, 8.0)],
    )

    seen = []
    for _ in range(3):
        watch.look()
        seen.append((watch.any_idle(), watch.all_stored()))

    assert seen == [(False, False), (True, False), (True, True)]


def _mark(at_s: float, handled: int, spent_s: float) -> Mark:
    return Mark(at_s, handled, {"worker": spent_s}, Stages({"copy": spent_s}, {"copy": spent_s / 2}))


def test_costs_begin_with_the_claim_and_the_rate_with_the_first_flush() -> None:
    run = run_between(_mark(1.0, 0, 2.0), _mark(3.0, 100, 2.5), _mark(5.0, 500, 4.0), began_s=0.0)

    assert run.rate == 200.0
    assert (run.costed, run.cpu_s, run.stages_s, run.stages_cpu_s) == (
        500,
        {"worker": 2.0},
        {"copy": 2.0},
        {"copy": 1.0},
    )
    assert run.more == {"first_row_s": 3.0}


def test_one_flush_has_no_rate() -> None:
    with pytest.raises(UserError, match="stored at once"):
        run_between(_mark(1.0, 0, 2.0), _mark(3.0, 100, 2.5), _mark(3.0, 100, 2.5), began_s=0.0)
