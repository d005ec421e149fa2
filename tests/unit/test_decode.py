"""Whole chunks: encodings side by side, producers, numbering, what is remembered and forgotten."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.encode import BatchEncoder, SeriesRef, encode_batch, encode_reading
from schemas.registry import READING_BATCH_V1, READING_V1, SINGLE_OBJECT_PREFIX_BYTES
from streams.core import decode
from streams.core.batch import COLUMN_TYPES, UNNUMBERED, Columns, Decoded, Messages
from streams.core.decode import Decoder
from streams.core.limits import Limits
from streams.core.native import Loaded
from streams.core.rejection import WHOLE_RECORD, Reason
from streams.core.series import SeriesKey, SeriesTable
from streams.core.wire import json_kernel
from tests.builders import BASE_US


@pytest.fixture(params=["one by one", "together", "natively"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every chunk here read as a small one, and as a large one without and with the kernel."""
    monkeypatch.setattr(decode, "SMALL_CHUNK_BYTES", 1 << 30 if request.param == "one by one" else 0)
    if request.param != "natively":
        monkeypatch.setattr(json_kernel, "LOADED", Loaded(None, ""))


def decoder_of(**given: Any) -> Decoder:
    return Decoder(Limits(), SeriesTable(), **given)


def chunk(values: Sequence[bytes | None], keys: Sequence[bytes | None] = (b"plc-1",)) -> Messages:
    count = len(values)
    return Messages(
        values, [keys[n % len(keys)] for n in range(count)], 10 + np.arange(count), 5 + np.arange(count)
    )


def reading(number: int = 0, **given: Any) -> bytes:
    return encode_reading(
        **{"source": "pump-1", "metric": "rpm", "time_us": BASE_US + number, "value": 1.5, **given}
    )


def batch(count: int = 3, **given: Any) -> bytes:
    fields: dict[str, Any] = {
        "producer": "gw-1",
        "series": [SeriesRef("pump-1", "rpm", {"unit": "/min"}), SeriesRef("pump-2", "flow")],
        "series_index": [n % 2 for n in range(count)],
        "time_us": [BASE_US + n for n in range(count)],
        "value": [float(n) for n in range(count)],
    }
    return encode_batch(**{**fields, **given})


def document(number: int = 0, **given: Any) -> dict[str, Any]:
    return {"source": "pump-1", "metric": "rpm", "time": BASE_US + number, "value": 2.5, **given}


def as_json(what: Any) -> bytes:
    return json.dumps(what).encode()


def framed(value: bytes, number: int) -> bytes:
    """Return an Avro message in Confluent's wire format."""
    return b"\x00" + number.to_bytes(4, "big") + value[SINGLE_OBJECT_PREFIX_BYTES:]


def as_lists(columns: Columns) -> dict[str, list[Any]]:
    return {name: getattr(columns, name).tolist() for name in COLUMN_TYPES}


def test_no_message_gives_nothing() -> None:
    decoded = decoder_of().decode(chunk([]))

    assert len(decoded.columns) == len(decoded.rejections) == 0


@pytest.mark.parametrize("times", [1, 100])
def test_every_encoding_gives_the_same_reading(times: int) -> None:
    values = [
        reading(tenant="north", epoch=3, sequence=9, quality=1, revision=2, attributes={"unit": "/min"}),
        batch(
            tenant="north",
            producer="plc-1",
            series=[SeriesRef("pump-1", "rpm", {"unit": "/min"})],
            series_index=[0],
            time_us=[BASE_US],
            value=[1.5],
            epoch=3,
            first_sequence=9,
            quality=[1],
            revision=[2],
        ),
        as_json(
            document(
                tenant="north",
                value=1.5,
                epoch=3,
                sequence=9,
                quality="uncertain",
                revision=2,
                attributes={"unit": "/min"},
            )
        ),
    ]
    decoder = decoder_of()
    decoded = decoder.decode(chunk(values * times))

    assert decoder.series.keys == [SeriesKey("north", "pump-1", "rpm", (("unit", "/min"),))]
    assert decoder.producers == ["", "plc-1"]
    columns = as_lists(decoded.columns)
    assert columns.pop("offset") == list(range(10, 10 + 3 * times))
    assert columns.pop("stamp_ms") == list(range(5, 5 + 3 * times))
    assert columns == {
        name: [expected] * (3 * times)
        for name, expected in {
            "series": 0,
            "time_us": BASE_US,
            "value": 1.5,
            "quality": 1,
            "revision": 2,
            "producer": 1,
            "epoch": 3,
            "sequence": 9,
            "index": 0,
        }.items()
    }


@pytest.mark.parametrize("times", [1, 60])
def test_a_batch_numbers_its_readings_and_keeps_their_order(times: int) -> None:
    decoded = decoder_of().decode(chunk([batch(4, first_sequence=100, revision=[0, 5, 0, 7])] * times))

    columns = as_lists(decoded.columns)
    assert columns["sequence"] == [100, 101, 102, 103] * times
    assert columns["index"] == [0, 1, 2, 3] * times
    assert columns["series"] == [0, 1, 0, 1] * times
    assert columns["value"] == [0.0, 1.0, 2.0, 3.0] * times
    assert columns["quality"] == [0] * 4 * times
    assert columns["revision"] == [0, 5, 0, 7] * times


@pytest.mark.parametrize("times", [1, 100])
def test_columns_have_their_types(times: int) -> None:
    for message in (reading(), batch(), as_json(document()), as_json([document()])):
        columns = decoder_of().decode(chunk([message] * times)).columns

        assert {name: getattr(columns, name).dtype for name in COLUMN_TYPES} == COLUMN_TYPES


@pytest.mark.parametrize("times", [1, 100])
@pytest.mark.parametrize(
    ("key", "given", "producer", "sequence"),
    [
        (b"plc-1", {"sequence": 4}, "plc-1", 4),
        (b"plc-1", {"sequence": 4, "producer": "own"}, "own", 4),
        (b"plc-1", {"sequence": 4, "producer": ""}, "", UNNUMBERED),
        (b"plc-1", {}, "plc-1", UNNUMBERED),
        (None, {"sequence": 4}, "", UNNUMBERED),
        (b"", {"sequence": 4}, "", UNNUMBERED),
        (b"\x00\x00\x00\x07", {"sequence": 4}, "00000007", 4),
        (b"\xff\xfe", {"sequence": 4}, "fffe", 4),
        ("Süd 1".encode(), {"sequence": 4}, "Süd 1", 4),
    ],
)
def test_the_key_is_the_producer_where_none_is_named_and_nobody_numbers_nothing(
    key: bytes | None, given: dict[str, Any], producer: str, sequence: int, times: int
) -> None:
    for message in (reading(**given), as_json(document(**given))):
        decoder = decoder_of()
        columns = decoder.decode(chunk([message] * times, [key])).columns

        assert {decoder.producers[n] for n in columns.producer} == {producer}
        assert set(columns.sequence.tolist()) == {sequence}


def test_an_object_and_an_array_of_objects_are_both_messages() -> None:
    values = [as_json(document(1)), as_json([document(2), document(3)]), b" \n" + as_json(document(4))]
    columns = decoder_of().decode(chunk(values)).columns

    assert (columns.time_us - BASE_US).tolist() == [1, 2, 3, 4]
    assert columns.offset.tolist() == [10, 11, 11, 12]
    assert columns.index.tolist() == [0, 0, 1, 0]


def test_of_a_field_that_occurs_twice_the_last_counts() -> None:
    value = b'{"source":"a","metric":"b","time":1,"value":1,"value":2}'

    assert decoder_of().decode(chunk([value])).columns.value.tolist() == [2.0]


@pytest.mark.parametrize(
    "hidden",
    [
        b'"epoch":' + b"9" * 400,
        b'"source":"\\ud800"',
        b'"attributes":{"a":"\xff"}',
        b'"colour":1',
        b'"value":NaN',
    ],
)
def test_what_is_overwritten_has_to_be_a_reading_as_well(hidden: bytes) -> None:
    last = b'"source":"a","metric":"b","time":1,"value":2,"epoch":1,"attributes":{}}'
    decoded = decoder_of().decode(chunk([b"{" + last, b"{" + hidden + b"," + last] * 20))

    assert (decoded.columns.offset - 10).tolist() == list(range(0, 40, 2))
    assert [r.offset - 10 for r in decoded.rejections] == list(range(1, 40, 2))


def test_times_as_text_and_as_numbers_stand_side_by_side() -> None:
    times = [1, "1970-01-01T00:00:02Z", 3, "1970-01-01T00:00:04+00:00"] * 10
    columns = decoder_of().decode(chunk([as_json({**document(), "time": time}) for time in times])).columns

    assert columns.time_us.tolist() == [1, 2_000_000, 3, 4_000_000] * 10


def test_null_stands_for_a_value_that_is_not_there() -> None:
    columns = decoder_of().decode(chunk([as_json(document(value=None, quality="bad"))])).columns

    assert np.isnan(columns.value).all()
    assert columns.quality.tolist() == [2]


@pytest.mark.parametrize("times", [1, 100])
def test_one_bad_reading_of_an_array_costs_itself_alone(times: int) -> None:
    value = as_json([document(1), document(2, value="high"), document(3)])
    decoded = decoder_of().decode(chunk([value] * times))

    assert decoded.columns.index.tolist() == [0, 2] * times
    assert [(r.index, r.reason) for r in decoded.rejections] == [(1, Reason.WRONG_TYPE)] * times
    assert json.loads(decoded.rejections[0].payload) == document(2, value="high", producer="plc-1")


@pytest.mark.parametrize("times", [1, 100])
def test_one_element_that_is_no_object_costs_the_whole_array(times: int) -> None:
    value = as_json([document(1), None])
    decoded = decoder_of().decode(chunk([value] * times))

    assert len(decoded.columns) == 0
    assert [(r.index, r.reason) for r in decoded.rejections] == [(WHOLE_RECORD, Reason.WRONG_TYPE)] * times
    assert decoded.rejections[0].payload == value


@pytest.mark.parametrize("times", [1, 40])
def test_an_array_has_at_least_one_reading_and_at_most_as_many_as_are_allowed(times: int) -> None:
    arrays = [as_json([document(number) for number in range(count)]) for count in range(4)]
    decoded = Decoder(Limits(max_readings_per_message=2), SeriesTable()).decode(chunk(arrays * times))

    assert decoded.columns.index.tolist() == [0, 0, 1] * times
    assert [r.reason for r in decoded.rejections] == [Reason.EMPTY, Reason.TOO_MANY_READINGS] * times
    assert {r.index for r in decoded.rejections} == {WHOLE_RECORD}


@pytest.mark.parametrize("times", [1, 60])
def test_an_index_outside_the_dictionary_costs_that_reading_alone(times: int) -> None:
    message = batch(series_index=[0, 1, 0])
    place = message.index(b"\x06\x00\x02\x00\x00")
    value = message[:place] + b"\x06\x00\x2e\x00\x00" + message[place + 5 :]
    decoded = decoder_of().decode(chunk([value] * times))

    assert decoded.columns.index.tolist() == [0, 2] * times
    assert [(r.index, r.reason) for r in decoded.rejections] == [(1, Reason.SHAPE)] * times
    assert json.loads(decoded.rejections[0].payload)["series_index"] == 23


HOSTILE_JSON = [
    as_json(document(1)) + b"," + as_json(document(2)),
    b"[" + as_json(document(1)),
    as_json(document(1)) + b"]",
    b"[" + as_json(document(1)) + b"],[" + as_json(document(2)) + b"]",
    b'{"source":"',
    b"{",
]


@pytest.mark.parametrize("hostile", HOSTILE_JSON)
def test_a_message_that_opens_or_closes_brackets_does_not_shift_its_neighbours(hostile: bytes) -> None:
    neighbours = [as_json(document(number)) for number in range(100)]
    decoded = decoder_of().decode(chunk([*neighbours[:50], hostile, *neighbours[50:]]))

    assert (decoded.columns.time_us - BASE_US).tolist() == list(range(100))
    assert decoded.columns.offset.tolist() == [*range(10, 60), *range(61, 111)]
    assert [(r.offset, r.reason) for r in decoded.rejections] == [(60, Reason.UNDECODABLE)]


@pytest.mark.parametrize("hostile", HOSTILE_JSON)
def test_nor_does_the_first_or_the_last_message(hostile: bytes) -> None:
    neighbours = [as_json(document(number)) for number in range(100)]
    decoded = decoder_of().decode(chunk([hostile, *neighbours, hostile]))

    assert decoded.columns.offset.tolist() == list(range(11, 111))
    assert [r.offset for r in decoded.rejections] == [10, 111]


def test_messages_that_make_up_for_each_other_are_told_apart() -> None:
    first, second, third = (as_json(document(number)) for number in range(3))
    three_in_one, opens, closes = b",".join((first, second, third)), b"[" + first, second + b"]"
    filler = [as_json(document(number)) for number in range(100)]
    decoded = decoder_of().decode(chunk([three_in_one, *filler, opens, closes]))

    assert decoded.columns.offset.tolist() == list(range(11, 111))
    assert [r.offset for r in decoded.rejections] == [10, 111, 112]


def test_messages_that_mend_each_other_are_refused_both() -> None:
    filler = [as_json(document(number)) for number in range(100)]
    decoded = decoder_of().decode(chunk([b"[" + filler[0], filler[1] + b"]", *filler]))

    assert len(decoded.columns) == 100
    assert [(r.offset, r.reason) for r in decoded.rejections] == [
        (10, Reason.UNDECODABLE),
        (11, Reason.UNDECODABLE),
    ]


@pytest.mark.parametrize("times", [1, 100])
def test_a_schema_number_is_resolved_and_only_known_schemas_are_read(times: int) -> None:
    fingerprints = {7: READING_V1.fingerprint, 70_000: READING_BATCH_V1.fingerprint, 9: bytes(8)}
    values = [
        framed(reading(), 7),
        framed(batch(2), 70_000),
        framed(reading(), 8),
        framed(reading(), 9),
        reading(),
    ]
    decoded = decoder_of(resolve_schema_id=fingerprints.get).decode(chunk(values * times))

    assert len(decoded.columns) == 4 * times
    assert (decoded.columns.offset[:4] - 10).tolist() == [0, 1, 1, 4]
    assert [(r.offset, r.reason) for r in decoded.rejections[:2]] == [
        (12, Reason.UNKNOWN_SCHEMA),
        (13, Reason.UNKNOWN_SCHEMA),
    ]


def test_without_a_registry_a_schema_number_means_nothing() -> None:
    decoded = decoder_of().decode(chunk([framed(reading(), 7)] * 100))

    assert {r.reason for r in decoded.rejections} == {Reason.UNKNOWN_SCHEMA}
    assert len(decoded.rejections) == 100


def test_what_the_registry_raises_passes_through() -> None:
    def away(number: int) -> bytes | None:
        raise ConnectionError(number)

    for times in (1, 100):
        with pytest.raises(ConnectionError):
            decoder_of(resolve_schema_id=away).decode(chunk([framed(reading(), 7)] * times))


def test_forgetting_begins_new_tables_and_leaves_the_old_ones_as_they_are() -> None:
    decoder = decoder_of()
    first = decoder.decode(chunk([reading()] * 100))
    old_series, old_producers = decoder.series, decoder.producers

    assert not decoder.reset_if_over(2)
    assert decoder.reset_if_over(1)
    second = decoder.decode(chunk([batch(2)] * 100))

    assert (old_series.keys[first.columns.series[0]].source, old_producers) == ("pump-1", ["", "plc-1"])
    assert decoder.series is not old_series
    assert decoder.series.keys[second.columns.series[1]].source == "pump-2"
    assert decoder.producers == ["", "gw-1"]


def test_a_long_name_counts_as_several() -> None:
    decoder = decoder_of()
    decoder.decode(chunk([reading(source="x" * 200)]))

    assert decoder.reset_if_over(4)


@pytest.mark.parametrize("dictionaries", [3, 40])
def test_a_producer_may_use_many_dictionaries_in_turn(dictionaries: int) -> None:
    encoders = [
        BatchEncoder("gw-1", [SeriesRef(f"pump-{n}", "r" * (n + 1)), SeriesRef(f"pump-{n}", "flow")])
        for n in range(dictionaries)
    ]
    values = [encoder.encode(series_index=[1], time_us=[BASE_US], value=[1.0]) for encoder in encoders] * 10
    decoder = decoder_of()
    columns = decoder.decode(chunk(values, [b"gw-1"])).columns

    sources = [decoder.series.keys[index].source for index in columns.series]
    assert sources == [f"pump-{n}" for n in range(dictionaries)] * 10
    assert len(decoder.series) == 2 * dictionaries


@pytest.mark.parametrize(("sequence", "taken"), [(0, 40), ((1 << 63) - 2, 40), ((1 << 63) - 1, 0)])
def test_a_sequence_leaves_room_for_the_next(sequence: int, taken: int) -> None:
    decoded = decoder_of().decode(chunk([as_json(document(sequence=sequence))] * 40))

    assert len(decoded.columns) == taken
    assert [r.reason for r in decoded.rejections] == [Reason.BAD_SEQUENCE] * (40 - taken)


def test_messages_that_are_read_exactly_keep_their_place() -> None:
    odd_reading, odd_batch = reading(epoch=1 << 60), batch(1, epoch=1 << 60)
    decoded = decoder_of().decode(chunk([odd_reading, odd_batch] * 3))

    assert decoded.columns.offset.tolist() == [10, 11, 12, 13, 14, 15]
    assert set(decoded.columns.epoch.tolist()) == {1 << 60}


MIXED = [
    reading(1),
    reading(2)[:-1],
    batch(5, first_sequence=3),
    as_json(document(3)),
    as_json([document(4), document(5, value=True)]),
    b"[null]",
    None,
    b"\xde\xad",
]


@given(st.lists(st.integers(0, len(MIXED) - 1), max_size=60), st.integers(0, 60))
def test_where_a_chunk_is_cut_makes_no_difference(which: list[int], cut: int) -> None:
    messages = chunk([MIXED[number] for number in which])
    split = decoder_of()
    parts = [
        split.decode(
            Messages(messages.values[s], messages.keys[s], messages.offsets[s], messages.timestamps_ms[s])
        )
        for s in (slice(0, cut), slice(cut, None))
    ]
    whole = decoder_of().decode(messages)

    joined = Decoded(
        Columns.concat([part.columns for part in parts]), parts[0].rejections + parts[1].rejections
    )
    assert [r.reason for r in joined.rejections] == [r.reason for r in whole.rejections]
    for name in ("time_us", "value", "sequence", "offset", "index", "stamp_ms"):
        assert getattr(joined.columns, name).tolist() == getattr(whole.columns, name).tolist()
