"""What the encoders write is plain Avro, and stays readable for ever."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastavro import schemaless_reader, schemaless_writer
from hypothesis import assume, given
from hypothesis import strategies as st

import schemas
from schemas.encode import (
    BatchEncoder,
    Instants,
    SeriesRef,
    encode_batch,
    encode_json,
    encode_reading,
    reading_document,
    varints,
)
from schemas.registry import (
    ALLOWED,
    QUALITIES,
    READING_BATCH_V1,
    READING_V1,
    SINGLE_OBJECT_PREFIX_BYTES,
    Schema,
)
from streams.core.batch import UNNUMBERED, Columns, Messages
from streams.core.decode import Decoder
from streams.core.limits import Limits
from streams.core.series import SeriesTable
from tests.builders import BASE_US
from tests.strategies import ATTRIBUTES, INT64, NAMES, VALUES, long, plain_longs

EXAMPLES = sorted((Path(schemas.__file__).parent / "examples").glob("*.json"))

SEQUENCES = st.integers(0, (1 << 63) - 100)

READINGS = st.fixed_dictionaries(
    {"source": NAMES, "metric": NAMES, "time_us": INT64, "value": VALUES},
    optional={
        "tenant": NAMES,
        "attributes": st.none() | ATTRIBUTES,
        "producer": st.none() | NAMES,
        "epoch": INT64,
        "sequence": st.none() | SEQUENCES,
        "quality": st.integers(0, 2),
        "revision": st.integers(0, (1 << 31) - 1),
    },
)


def read_by_fastavro(message: bytes, schema: Schema) -> dict[str, Any]:
    """Return a message as another Avro library reads it, to its end."""
    assert message.startswith(schema.prefix)
    rest = io.BytesIO(message[SINGLE_OBJECT_PREFIX_BYTES:])
    record = schemaless_reader(rest, plain_longs(schema.text), None)
    assert rest.read() == b""
    assert isinstance(record, dict)
    return record


def written_by_fastavro(record: Mapping[str, Any], schema: Schema) -> bytes:
    out = io.BytesIO()
    schemaless_writer(out, plain_longs(schema.text), record)
    return schema.prefix + out.getvalue()


def decoded(message: bytes, key: bytes | None = None) -> tuple[Columns, Decoder]:
    decoder = Decoder(Limits(), SeriesTable())
    outcome = decoder.decode(Messages([message], [key], np.array([0]), np.array([0])))
    assert outcome.rejections == []
    return outcome.columns, decoder


def documents(columns: Columns, decoder: Decoder) -> list[dict[str, Any]]:
    """Return readings as the JSON objects that stand for them."""
    keys = [decoder.series.keys[index] for index in columns.series]
    return [
        reading_document(
            tenant=key.tenant,
            source=key.source,
            metric=key.metric,
            attributes=dict(key.attributes),
            producer=decoder.producers[columns.producer[row]] or None,
            epoch=int(columns.epoch[row]),
            sequence=None if columns.sequence[row] == UNNUMBERED else int(columns.sequence[row]),
            time_us=int(columns.time_us[row]),
            value=float(columns.value[row]),
            quality=int(columns.quality[row]),
            revision=int(columns.revision[row]),
        )
        for row, key in enumerate(keys)
    ]


def same(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_stored_messages_of_every_version_are_still_read(path: Path) -> None:
    for example in json.loads(path.read_text(encoding="utf-8")):
        columns, decoder = decoded(bytes.fromhex(example["message"]))

        assert documents(columns, decoder) == example["readings"], example["about"]


def test_every_version_has_stored_messages() -> None:
    assert {path.stem for path in EXAMPLES} == {f"{s.name}.v{s.version}" for s in ALLOWED.values()}


@given(READINGS)
def test_fastavro_reads_the_reading_that_was_encoded(reading: dict[str, Any]) -> None:
    record = read_by_fastavro(encode_reading(**reading), READING_V1)

    assert same(record.pop("value"), reading["value"])
    assert record == {
        "tenant": reading.get("tenant", "default"),
        "source": reading["source"],
        "metric": reading["metric"],
        "attributes": reading.get("attributes") or None,
        "producer": reading.get("producer"),
        "epoch": reading.get("epoch", 0),
        "sequence": reading.get("sequence"),
        "time": reading["time_us"],
        "quality": QUALITIES[reading.get("quality", 0)],
        "revision": reading.get("revision", 0),
    }


@st.composite
def batches(draw: st.DrawFn) -> dict[str, Any]:
    series = draw(
        st.lists(st.builds(SeriesRef, NAMES, NAMES, st.none() | ATTRIBUTES), min_size=1, max_size=4)
    )
    count = draw(st.integers(0, 10))

    def column(numbers: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(numbers, min_size=count, max_size=count))

    return {
        "producer": draw(NAMES),
        "series": series,
        "series_index": column(st.integers(0, len(series) - 1)),
        "time_us": column(INT64),
        "value": column(VALUES),
        "epoch": draw(INT64),
        "first_sequence": draw(st.none() | SEQUENCES),
        "quality": draw(st.none() | st.just(column(st.integers(0, 2)))),
        "revision": draw(st.none() | st.just(column(st.integers(0, (1 << 31) - 1)))),
    }


@given(batches())
def test_fastavro_reads_the_batch_that_was_encoded(batch: dict[str, Any]) -> None:
    record = read_by_fastavro(encode_batch(**batch), READING_BATCH_V1)

    assert all(map(same, record.pop("value"), batch["value"]))
    assert record == {
        "tenant": "default",
        "producer": batch["producer"],
        "series": [
            {"source": ref.source, "metric": ref.metric, "attributes": ref.attributes or None}
            for ref in batch["series"]
        ],
        "epoch": batch["epoch"],
        "first_sequence": batch["first_sequence"],
        "series_index": batch["series_index"],
        "time": batch["time_us"],
        "quality": None if batch["quality"] is None else [QUALITIES[number] for number in batch["quality"]],
        "revision": batch["revision"],
    }


@given(batches())
def test_what_fastavro_writes_is_read_like_what_was_encoded(batch: dict[str, Any]) -> None:
    assume(batch["value"])  # a batch without readings is refused
    ours = encode_batch(**batch)
    record = read_by_fastavro(ours, READING_BATCH_V1)
    theirs = written_by_fastavro(record, READING_BATCH_V1)

    assert documents(*decoded(theirs)) == documents(*decoded(ours))


@given(READINGS)
def test_a_reading_is_the_same_in_avro_and_in_json(reading: dict[str, Any]) -> None:
    if not math.isfinite(reading["value"]):
        reading["value"] = math.nan
    in_avro = documents(*decoded(encode_reading(**reading), b"plc-1"))
    in_json = documents(*decoded(encode_json(reading_document(**reading)), b"plc-1"))

    assert in_avro == in_json


@given(st.lists(INT64))
def test_numbers_are_written_as_avro_writes_them(numbers: list[int]) -> None:
    assert varints(np.array(numbers, np.int64)) == b"".join(map(long, numbers))


def test_an_encoder_takes_arrays_and_lists_alike() -> None:
    encoder = BatchEncoder("gw-1", [SeriesRef("pump-1", "rpm")], tenant="north")
    of_arrays = encoder.encode(
        series_index=np.zeros(3, np.int32),
        time_us=BASE_US + np.arange(3),
        value=np.ones(3, np.float32),
        quality=np.ones(3, np.int8),
    )
    of_lists = encoder.encode(
        series_index=[0, 0, 0],
        time_us=[BASE_US, BASE_US + 1, BASE_US + 2],
        value=[1.0, 1.0, 1.0],
        quality=[1, 1, 1],
    )

    assert of_arrays == of_lists


def test_batches_that_share_their_instants_are_what_they_would_be_alone() -> None:
    index, time_us = [1, 0, 1], [BASE_US, BASE_US, BASE_US + 1]
    shared = Instants(index, time_us)
    for name, value in (("pump-1", [1.0, 2.0, 3.0]), ("pump-2", [4.0, 5.0, 6.0])):
        encoder = BatchEncoder("gw-1", [SeriesRef(name, "rpm"), SeriesRef(name, "flow")])
        alone = encoder.encode(series_index=index, time_us=time_us, value=value, first_sequence=7)

        assert encoder.encode_at(shared, value, first_sequence=7) == alone
    with pytest.raises(ValueError, match="series_index must lie within 0 and 0"):
        BatchEncoder("gw-1", [SeriesRef("pump-3", "rpm")]).encode_at(shared, [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"value": [1.0]}, "equally long"),
        ({"quality": [0]}, "equally long"),
        ({"series_index": [0, 1]}, "series_index must lie within 0 and 0"),
        ({"series_index": [0, -1]}, "series_index must lie within 0 and 0"),
        ({"quality": [0, 3]}, "quality must lie within 0 and 2"),
        ({"revision": [0, -1]}, "revision must lie within"),
        ({"time_us": [0.5, 1.5]}, "time_us must be integers"),
        ({"first_sequence": -1}, "sequence -1 of 2 readings"),
        ({"first_sequence": (1 << 63) - 2}, "sequence 9223372036854775806 of 2 readings"),
        ({"epoch": 1 << 63}, "does not fit 64 bits"),
    ],
)
def test_a_batch_that_nobody_could_read_is_not_written(wrong: dict[str, Any], message: str) -> None:
    batch = {"series_index": [0, 0], "time_us": [BASE_US, BASE_US], "value": [1.0, 2.0], **wrong}
    with pytest.raises(ValueError, match=message):
        encode_batch(producer="gw-1", series=[SeriesRef("pump-1", "rpm")], **batch)


@pytest.mark.parametrize(
    "wrong", [{"quality": 3}, {"revision": -1}, {"revision": 1 << 31}, {"time_us": 1 << 63}, {"sequence": -1}]
)
def test_a_reading_that_nobody_could_read_is_not_written(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        encode_reading(**{"source": "pump-1", "metric": "rpm", "time_us": BASE_US, "value": 1.0, **wrong})
