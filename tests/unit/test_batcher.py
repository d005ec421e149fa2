"""Batches are numbered without a gap and say what the readings said."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from fastavro import schemaless_reader
from hypothesis import given
from hypothesis import strategies as st

from jobs.batcher import MAX_BATCH_BYTES, MAX_OPEN, Batcher
from jobs.formats.base import Reading
from jobs.producer import Message
from schemas.registry import QUALITIES, READING_BATCH_V1, SINGLE_OBJECT_PREFIX_BYTES

TIME_US = 1_714_564_800_000_000


def _decode(message: Message) -> dict[str, Any]:
    body = io.BytesIO(message.value[SINGLE_OBJECT_PREFIX_BYTES:])
    batch = schemaless_reader(body, READING_BATCH_V1.parsed, None)
    assert isinstance(batch, dict)
    assert message.key == batch["producer"].encode()
    assert message.readings == len(batch["value"])
    return batch


def _run(readings: Iterable[Reading], most: int) -> list[dict[str, Any]]:
    batcher = Batcher("me", epoch=7, max_readings=most)
    messages = [message for reading in readings for message in batcher.add(reading)]
    return [_decode(message) for message in (*messages, *batcher.flush())]


def _readings(batch: dict[str, Any]) -> list[tuple[Any, ...]]:
    found = []
    for i, index in enumerate(batch["series_index"]):
        series = batch["series"][index]
        time_us = round(batch["time"][i].timestamp() * 1e6)
        quality = QUALITIES.index(batch["quality"][i]) if batch["quality"] else 0
        revision = batch["revision"][i] if batch["revision"] else 0
        attributes = tuple(sorted((series["attributes"] or {}).items()))
        found.append(
            (series["source"], series["metric"], time_us, batch["value"][i], quality, revision, attributes)
        )
    return found


READINGS = st.builds(
    Reading,
    source=st.sampled_from("ab"),
    metric=st.sampled_from("xy"),
    time_us=st.integers(TIME_US, TIME_US + 10**9),
    value=st.floats(allow_nan=False),
    quality=st.integers(0, 2),
    revision=st.integers(0, 3),
    attributes=st.sampled_from([(), (("unit", "Cel"),)]),
    tenant=st.just("default"),
    producer=st.none(),
    epoch=st.just(0),
    sequence=st.none(),
)


@given(st.lists(READINGS, max_size=40), st.integers(1, 7))
def test_every_reading_arrives_once_in_order_and_numbered(readings: list[Reading], most: int) -> None:
    batches = _run(readings, most)

    assert [each for batch in batches for each in _readings(batch)] == [
        (r.source, r.metric, r.time_us, r.value, r.quality, r.revision, r.attributes) for r in readings
    ]
    assert all(len(batch["value"]) <= most for batch in batches)
    assert all((batch["producer"], batch["epoch"]) == ("me", 7) for batch in batches)
    numbered = [batch["first_sequence"] + i for batch in batches for i in range(len(batch["value"]))]
    assert numbered == list(range(len(readings)))


def test_producers_of_the_file_keep_their_own_numbers_and_a_gap_begins_a_batch() -> None:
    readings = [
        Reading("a", "x", TIME_US + n, 0.0, producer="plc", epoch=3, sequence=n) for n in (5, 6, 9, 10)
    ]
    batches = _run(readings, 100)

    assert [(b["producer"], b["epoch"], b["first_sequence"], len(b["value"])) for b in batches] == [
        ("plc", 3, 5, 2),
        ("plc", 3, 9, 2),
    ]


def test_a_producer_that_does_not_number_is_not_numbered_here() -> None:
    (batch,) = _run([Reading("a", "x", TIME_US, 0.0, producer="plc")], 100)

    assert (batch["producer"], batch["first_sequence"]) == ("plc", None)


def test_tenants_are_kept_apart_under_one_numbering() -> None:
    readings = [Reading("a", "x", TIME_US + n, 0.0, tenant="ab"[n % 2]) for n in range(4)]

    assert [(b["tenant"], b["first_sequence"]) for b in _run(readings, 100)] == [("a", 0), ("b", 2)]


def test_what_is_open_is_bounded() -> None:
    batcher = Batcher("me", epoch=7, max_readings=100)
    readings = [Reading("a", "x", TIME_US, 0.0, producer=f"plc-{n}") for n in range(MAX_OPEN + 1)]

    sent = [message for reading in readings for message in batcher.add(reading)]

    assert len(sent) == MAX_OPEN
    assert len(list(batcher.flush())) == 1


def test_a_batch_of_many_long_names_ends_before_it_is_too_large() -> None:
    readings = [Reading(f"{n:0200d}", "x" * 200, TIME_US, 0.0) for n in range(2000)]
    batcher = Batcher("me", epoch=7, max_readings=10_000)

    messages = [message for reading in readings for message in batcher.add(reading)]

    assert messages
    assert all(len(message.value) <= MAX_BATCH_BYTES for message in messages)
