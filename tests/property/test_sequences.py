"""Sequence numbers: a set of every number ever seen, however the log is cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.core.batch import UNNUMBERED
from streams.core.sequences import Sequences, missing

Numbered = tuple[int, int, int]
"""Producer, epoch, sequence."""

logs = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(UNNUMBERED, 9)), max_size=60
) | st.lists(st.tuples(st.integers(0, 3), st.just(1), st.integers(0, 30)), max_size=60)
cuts = st.lists(st.integers(0, 60), max_size=12)


def arrays(log: list[Numbered]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    columns = list(zip(*log, strict=True)) or [(), (), ()]
    return np.array(columns[0], np.int32), np.array(columns[1], np.int64), np.array(columns[2], np.int64)


def oracle(log: list[Numbered]) -> tuple[list[bool], dict[int, set[int]]]:
    """Judge one number after the other against a plain set."""
    epochs: dict[int, int] = {}
    seen: dict[int, set[int]] = {}
    repeated = []
    for producer, epoch, sequence in log:
        if sequence == UNNUMBERED:
            repeated.append(False)
            continue
        if epoch > epochs.get(producer, 0):
            epochs[producer], seen[producer] = epoch, set()
        current = epoch == epochs[producer]
        repeated.append(current and sequence in seen[producer])
        if current:
            seen[producer].add(sequence)
    return repeated, seen


@given(log=logs, places=cuts, reloads=st.sets(st.integers(0, 12)))
def test_every_cut_gives_what_a_set_gives(log: list[Numbered], places: list[int], reloads: set[int]) -> None:
    stage, repeated = Sequences(), []
    ends = sorted({min(place, len(log)) for place in places} | {len(log)})
    for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
        judged, spans = stage.judge(*arrays(log[start:end]))
        again, _ = stage.judge(*arrays(log[start:end]))
        assert judged.tolist() == again.tolist(), "judging changes nothing"
        stage.apply(spans)
        repeated += judged.tolist()
        if number in reloads:
            stage = reloaded(stage)
    expected, seen = oracle(log)
    assert repeated == expected
    for producer, numbers in seen.items():
        intervals = stage.intervals(producer)
        assert {n for start, end in intervals for n in range(start, end)} == numbers
        gaps = {n for start, end in missing(intervals) for n in range(start, end)}
        assert gaps == set(range(min(numbers), max(numbers))) - numbers


def reloaded(stage: Sequences) -> Sequences:
    again = Sequences()
    for producer in range(4):
        if stage.intervals(producer):
            again.restore(producer, stage.epoch(producer), stage.intervals(producer))
    return again


def test_what_is_forgotten_counts_as_new_and_never_as_repeated() -> None:
    stage = Sequences()
    stage.restore(0, 1, [(10 * number, 10 * number + 1) for number in range(2_000)])
    judged, _ = stage.judge(*arrays([(0, 1, 0), (0, 1, 19_990)]))
    assert judged.tolist() == [False, True]
    assert len(stage.intervals(0)) == 1_000
