"""What is computed again, in which spans, and which revision it comes to; on arrays, without a database."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from sinks.timescale.refresh import Spans, is_within, revise, spans_of, whole_spans
from streams.core.aggregate import NOTHING, Aggregates, aggregate
from streams.core.batch import Points

MARKS = st.lists(st.tuples(st.integers(1, 3), st.integers(-3, 40)), min_size=1, max_size=60)
KEYS = st.sets(st.tuples(st.integers(1, 3), st.integers(0, 6)))


@given(marks=MARKS, in_one=st.sampled_from([1, 4]))
def test_spans_are_the_buckets_that_are_marked_each_once(marks: list[tuple[int, int]], in_one: int) -> None:
    series, minutes = (np.array(column) for column in zip(*marks, strict=True))
    width_us = in_one * 60
    spans = spans_of(series.astype(np.int32), minutes * 60, width_us)

    covered = [
        (series_id, bucket_us)
        for series_id, begins_us, ends_us in zip(*(column.tolist() for column in spans), strict=True)
        for bucket_us in range(begins_us, ends_us, width_us)
    ]
    assert covered == sorted({(series_id, 60 * at // width_us * width_us) for series_id, at in marks})


def minutes_of(spans: Spans) -> set[tuple[int, int]]:
    """Return the series and minutes that spans are made of."""
    return {
        (series_id, at)
        for series_id, begins_us, ends_us in zip(*(column.tolist() for column in spans), strict=True)
        for at in range(begins_us // 60, ends_us // 60)
    }


@given(marks=MARKS, in_one=st.integers(2, 5))
def test_a_coarser_bucket_is_whole_where_all_of_its_time_is_in_one_span(
    marks: list[tuple[int, int]], in_one: int
) -> None:
    series, minutes = (np.array(column) for column in zip(*marks, strict=True))
    spans = spans_of(series.astype(np.int32), minutes * 60, 60)

    expected = set()
    for each in zip(*spans, strict=True):
        own = minutes_of(Spans._make(np.array([part]) for part in each))
        coarse = {(series_id, at // in_one * in_one) for series_id, at in own}
        for series_id, begins in coarse:
            bucket = {(series_id, at) for at in range(begins, begins + in_one)}
            expected |= bucket if bucket <= own else set()
    assert minutes_of(whole_spans(spans, in_one * 60)) == expected


@given(marks=MARKS, asked=st.lists(st.tuples(st.integers(0, 4), st.integers(-5, 45)), max_size=40))
def test_a_time_is_within_a_span_of_its_own_series(
    marks: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    series, minutes = (np.array(column) for column in zip(*marks, strict=True))
    spans = spans_of(series.astype(np.int32), minutes * 60, 60)
    keys = np.array(sorted(asked), np.int64).reshape(-1, 2)

    found = is_within(spans, keys[:, 0].astype(np.int32), keys[:, 1] * 60 + 59)

    assert found.tolist() == [key in set(marks) for key in sorted(asked)]
    assert not is_within(whole_spans(spans, 10_000), keys[:, 0].astype(np.int32), keys[:, 1]).any()


def rows_of(keys: set[tuple[int, int]], value: float) -> Aggregates:
    """Return a row for each series and bucket, of one reading."""
    if not keys:
        return NOTHING
    series, bucket = (np.array(column) for column in zip(*sorted(keys), strict=True))
    values: npt.NDArray[np.float64] = np.full(len(keys), value)
    return aggregate(Points(series.astype(np.int32), bucket * 60, values, np.zeros(len(keys), np.int16)), 60)


@given(same=KEYS, changed=KEYS, added=KEYS, gone=KEYS, at=st.integers(0, 9))
def test_a_revision_is_of_what_changed_and_of_nothing_else(
    same: set[tuple[int, int]],
    changed: set[tuple[int, int]],
    added: set[tuple[int, int]],
    gone: set[tuple[int, int]],
    at: int,
) -> None:
    changed, added, gone = changed - same, added - same - changed, gone - same - changed - added
    old = in_order(rows_of(same, 1.5), rows_of(changed, 1.5), rows_of(gone, 1.5))
    rows = in_order(rows_of(same, 1.5), rows_of(changed, 2.5), rows_of(added, 1.5))

    revision = revise(rows, old, np.full(len(old.readings), at, np.int32))

    keys = keys_of(rows)
    assert {key for key, is_new in zip(keys, revision.is_new, strict=True) if is_new} == changed | added
    assert dict(zip(keys, revision.number.tolist(), strict=True)) == {
        **dict.fromkeys(same, at),
        **dict.fromkeys(changed, at + 1),
        **dict.fromkeys(added, 0),
    }
    assert {key for key, is_gone in zip(keys_of(old), revision.is_gone, strict=True) if is_gone} == gone


def test_a_row_without_values_is_the_same_as_itself() -> None:
    empty = rows_of({(1, 1)}, np.nan)

    assert revise(empty, empty, np.zeros(1, np.int32)).is_new.tolist() == [False]


def in_order(*parts: Aggregates) -> Aggregates:
    rows = Aggregates.concat(parts)
    return rows.take(np.lexsort((rows.bucket_us, rows.series_id)))


def keys_of(rows: Aggregates) -> list[tuple[int, int]]:
    return list(zip(rows.series_id.tolist(), (rows.bucket_us // 60).tolist(), strict=True))
