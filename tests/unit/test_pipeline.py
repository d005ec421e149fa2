"""Chunks that go through the stages together become what each becomes alone."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.core.batch import Messages
from streams.core.limits import Limits
from streams.core.pipeline import Pipeline, Staged
from tests.strategies import batch_messages, damaged, reading_messages

STAMP_MS = 1_769_860_800_000


@st.composite
def chunks(draw: st.DrawFn) -> Messages:
    any_message = reading_messages() | batch_messages()
    values = draw(
        st.lists(st.none() | st.binary(max_size=20) | any_message | damaged(any_message), max_size=4)
    )
    base = draw(st.integers(0, 1_000))
    count = len(values)
    return Messages(values, [b"plc"] * count, base + 3 * np.arange(count), np.full(count, STAMP_MS))


def readable(staged: Staged) -> tuple[list[object], object]:
    """Return readings and refusals without the numbers that stand for names."""
    columns = staged.decoded.columns
    named = [
        (staged.series.keys[s], staged.producers[p])
        for s, p in zip(columns.series, columns.producer, strict=True)
    ]
    rest = [
        getattr(columns, field.name).tobytes()
        for field in fields(columns)
        if field.name not in {"series", "producer"}
    ]
    return [named, *rest], staged.decoded.rejections


@given(st.lists(chunks(), min_size=1, max_size=5), st.booleans())
def test_chunks_become_together_what_each_becomes_alone(parts: list[Messages], knows_names: bool) -> None:
    together, alone = Pipeline(Limits()), Pipeline(Limits())
    if knows_names:
        together.together(parts[::-1])
    told = together.together(parts)
    assert [readable(staged) for staged in told] == [readable(alone(part)) for part in parts]
    assert all(staged.series is told[0].series for staged in told)
