"""Generated load is unique, numbered, and the same again from the same seed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.generate import Encoding, Load, assets, blocks, messages
from streams.core.batch import Messages
from streams.core.decode import Decoder
from streams.core.limits import Limits
from streams.core.series import SeriesTable

LOAD = Load(
    readings=1_000,
    batch=30,
    producers=3,
    series=47,
    start_us=1_714_564_800_000_000,
    interval_us=1_000_000,
    epoch=5,
)

LOADS = st.builds(
    Load,
    readings=st.integers(1, 2_000),
    batch=st.integers(1, 300),
    producers=st.integers(1, 20),
    series=st.integers(1, 120),
    start_us=st.just(LOAD.start_us),
    interval_us=st.integers(10, 10**7),
    epoch=st.just(5),
    encoding=st.just(Encoding.BATCH),
    seed=st.integers(0, 3),
    tenant=st.just("default"),
)


@given(LOADS)
def test_each_series_has_each_event_time_once(load: Load) -> None:
    seen = [
        (block.asset.source, index, time_us)
        for block in blocks(load)
        for index, time_us in zip(
            block.instants.series_index.tolist(), block.instants.time_us.tolist(), strict=True
        )
    ]

    assert len(seen) == len(set(seen)) == load.readings


@given(LOADS)
def test_each_producer_numbers_its_readings_without_a_gap(load: Load) -> None:
    numbered: dict[str, int] = defaultdict(int)
    for block in blocks(load):
        assert block.first_sequence == numbered[block.asset.producer]
        numbered[block.asset.producer] += len(block.value)

    assert sum(numbered.values()) == load.readings


@given(LOADS)
def test_there_are_as_many_series_and_producers_as_asked_for(load: Load) -> None:
    fleet = assets(load)

    assert sum(len(asset.metrics) for asset in fleet) == load.series
    assert len({asset.producer for asset in fleet}) == min(load.producers, load.series, len(fleet))
    assert len({asset.source for asset in fleet}) == len(fleet)


@given(LOADS)
def test_times_end_about_where_the_load_says(load: Load) -> None:
    last = max(int(block.instants.time_us.max()) for block in blocks(load))

    # Assets take turns by whole batches, so one of them may be a batch ahead of the others.
    assert load.start_us <= last <= load.last_us + (load.batch + 1) * load.interval_us


@pytest.mark.parametrize("encoding", list(Encoding))
def test_every_encoding_says_the_same(encoding: Encoding) -> None:
    expected = list(messages(LOAD))
    sent = list(messages(replace(LOAD, encoding=encoding)))

    assert sum(message.readings for message in sent) == LOAD.readings
    if encoding in (Encoding.SINGLE, Encoding.JSON):
        assert len(sent) == LOAD.readings
    assert _decoded([(m.key, m.value) for m in sent]) == _decoded([(m.key, m.value) for m in expected])


def test_the_same_load_gives_the_same_bytes_and_another_seed_other_values() -> None:
    assert list(messages(LOAD)) == list(messages(LOAD))
    assert list(messages(LOAD)) != list(messages(replace(LOAD, seed=2)))


def _decoded(records: list[tuple[bytes, bytes]]) -> list[tuple[object, ...]]:
    decoder = Decoder(Limits(), SeriesTable())
    decoded = decoder.decode(
        Messages(
            [value for _, value in records],
            [key for key, _ in records],
            np.arange(len(records)),
            np.full(len(records), LOAD.start_us // 1000),
        )
    )
    assert decoded.rejections == []
    columns = decoded.columns
    return [
        (decoder.series.keys[series], time_us, value, decoder.producers[producer], epoch, sequence)
        for series, time_us, value, producer, epoch, sequence in zip(
            columns.series.tolist(),
            columns.time_us.tolist(),
            columns.value.tolist(),
            columns.producer.tolist(),
            columns.epoch.tolist(),
            columns.sequence.tolist(),
            strict=True,
        )
    ]
