"""What is understood but cannot be true or cannot be stored is refused, with the reason."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.encode import encode_reading
from streams.core.batch import Decoded, Messages
from streams.core.decode import Decoder
from streams.core.limits import Limits
from streams.core.rejection import MAX_READING_PAYLOAD_BYTES, Reason, Rejection
from streams.core.series import SeriesKey, SeriesTable
from streams.core.validate import EARLIEST_US, LATEST_US, Validator
from tests.builders import BASE_US, columns

STAMP_MS = BASE_US // 1000
KEY = SeriesKey("default", "pump-1", "rpm")
HOUR_US = 3_600_000_000


def validated(key: SeriesKey = KEY, producer: str = "plc-1", **given: Any) -> Decoded:
    """Validate one reading, sound but for what is given."""
    table = SeriesTable()
    table.intern(key)
    reading = {"time_us": BASE_US, "stamp_ms": STAMP_MS, "producer": 1, "sequence": 7, "offset": 42, **given}
    one = columns([0], **{name: [number] for name, number in reading.items()})
    return Validator(Limits()).validate(Decoded(one, []), table, ["", producer])


def reason(**given: Any) -> Reason | None:
    rejections = validated(**given).rejections
    return rejections[0].reason if rejections else None


def described(**attributes: str) -> SeriesKey:
    return KEY._replace(attributes=tuple(sorted(attributes.items())))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"value": math.nan}, Reason.NOT_FINITE),
        ({"value": math.inf, "quality": 1}, Reason.NOT_FINITE),
        ({"value": math.nan, "quality": 2}, None),
        ({"value": -math.inf, "quality": 2}, None),
        ({"time_us": EARLIEST_US - 1}, Reason.TIME_OUT_OF_BOUNDS),
        ({"time_us": EARLIEST_US}, None),
        ({"time_us": LATEST_US, "stamp_ms": LATEST_US // 1000}, Reason.TIME_OUT_OF_BOUNDS),
        ({"time_us": LATEST_US - 1, "stamp_ms": LATEST_US // 1000}, None),
        ({"time_us": LATEST_US - 1, "stamp_ms": (1 << 63) - 1}, None),
        ({"time_us": -(1 << 63)}, Reason.TIME_OUT_OF_BOUNDS),
        ({"time_us": (1 << 63) - 1}, Reason.TIME_OUT_OF_BOUNDS),
        ({"time_us": BASE_US + HOUR_US}, None),
        ({"time_us": BASE_US + HOUR_US + 1}, Reason.FUTURE),
        ({"stamp_ms": -1}, Reason.FUTURE),
        ({"stamp_ms": -(1 << 63)}, Reason.FUTURE),
        ({"quality": 2}, None),
        ({"quality": -1}, Reason.BAD_QUALITY),
        ({"revision": (1 << 31) - 1}, None),
        ({"revision": -1}, Reason.BAD_REVISION),
        ({"key": KEY._replace(tenant="")}, Reason.BAD_NAME),
        ({"key": KEY._replace(source="")}, Reason.BAD_NAME),
        ({"key": KEY._replace(metric="")}, Reason.BAD_NAME),
        ({"key": KEY._replace(metric="Öl stand °")}, None),
        ({"key": KEY._replace(source="a\x00b")}, Reason.BAD_NAME),
        ({"key": KEY._replace(source="a\nb")}, Reason.BAD_NAME),
        ({"key": KEY._replace(tenant="a\x9fb")}, Reason.BAD_NAME),
        ({"producer": ""}, None),
        ({"producer": "a\x00b"}, Reason.BAD_NAME),
        ({"key": described(unit="m3/h", site="Nord 2", colour="")}, None),
        ({"key": described(unit="° C")}, Reason.BAD_UNIT),
        ({"key": described(unit="a b")}, Reason.BAD_UNIT),
        ({"key": described(unit="")}, Reason.BAD_UNIT),
        ({"key": described(unit="m" * 40)}, None),
        ({"key": described(unit="m" * 41)}, Reason.BAD_UNIT),
        ({"key": described(site="a\x00b")}, Reason.BAD_ATTRIBUTES),
        ({"key": described(**{"a\x00": "b"})}, Reason.BAD_ATTRIBUTES),
        ({"key": described(**{"": "b"})}, Reason.BAD_ATTRIBUTES),
    ],
)
def test_each_fault_has_its_reason(given: dict[str, Any], expected: Reason | None) -> None:
    assert reason(**given) is expected


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_bad_reading_keeps_no_value(value: float) -> None:
    kept = validated(value=value, quality=2).columns.value

    assert np.isnan(kept).all()
    assert len(kept) == 1


def test_a_refused_reading_is_carried_as_json_that_can_be_sent_again() -> None:
    decoder, validator = Decoder(Limits(), SeriesTable()), Validator(Limits())
    message = encode_reading(
        tenant="north",
        source="pump-1",
        metric="rpm",
        attributes={"unit": "/min"},
        producer="plc-1",
        epoch=3,
        sequence=7,
        time_us=BASE_US + 2 * HOUR_US,
        value=1.5,
        quality=1,
        revision=2,
    )

    def outcome(value: bytes, stamp_ms: int) -> Decoded:
        messages = Messages([value], [None], np.array([42]), np.array([stamp_ms]))
        return validator.validate(decoder.decode(messages), decoder.series, decoder.producers)

    (rejection,) = outcome(message, STAMP_MS).rejections
    again = outcome(rejection.payload, STAMP_MS + HOUR_US // 1000)
    straight = outcome(message, STAMP_MS + HOUR_US // 1000)

    assert (rejection.offset, rejection.index, rejection.reason) == (42, 0, Reason.FUTURE)
    assert again.rejections == straight.rejections == []
    for name in ("series", "time_us", "value", "quality", "revision", "producer", "epoch", "sequence"):
        assert getattr(again.columns, name).tolist() == getattr(straight.columns, name).tolist()


@pytest.mark.parametrize("given", [{"quality": -1}, {"revision": -1}])
def test_what_no_column_could_hold_is_not_mended_by_sending_the_rejection_again(
    given: dict[str, Any],
) -> None:
    (rejection,) = validated(**given).rejections
    messages = Messages([rejection.payload], [None], np.array([0]), np.array([STAMP_MS]))
    decoded = Decoder(Limits(), SeriesTable()).decode(messages)

    assert [again.reason for again in decoded.rejections] == [rejection.reason]


def test_the_payload_of_one_reading_is_bounded() -> None:
    key = described(**{f"name-{number}": "x" * 200 for number in range(32)})
    (rejection,) = validated(key=key, value=math.nan).rejections

    assert len(rejection.payload) == MAX_READING_PAYLOAD_BYTES < rejection.payload_bytes


def test_neighbours_stay_in_order_and_rejections_are_sorted_with_those_before() -> None:
    earlier = Rejection.of(103, 0, Reason.EMPTY, "no value", b"")
    table = SeriesTable()
    table.intern(KEY)
    chunk = columns(
        [0] * 4,
        offset=[101, 101, 104, 105],
        index=[0, 1, 0, 0],
        value=[1.0, math.nan, 3.0, math.inf],
        stamp_ms=[STAMP_MS] * 4,
    )
    checked = Validator(Limits()).validate(Decoded(chunk, [earlier]), table, [""])

    assert checked.columns.value.tolist() == [1.0, 3.0]
    assert [(r.offset, r.index) for r in checked.rejections] == [(101, 1), (103, 0), (105, 0)]


def test_names_of_a_new_table_are_judged_anew() -> None:
    validator = Validator(Limits())
    sound, faulty = SeriesTable(), SeriesTable()
    sound.intern(KEY)
    faulty.intern(KEY._replace(source=""))
    chunk = Decoded(columns([0], stamp_ms=[STAMP_MS]), [])

    kept = [len(validator.validate(chunk, table, [""]).columns) for table in (sound, faulty, sound)]

    assert kept == [1, 0, 1]


def test_a_name_that_comes_later_is_judged_too() -> None:
    validator, table = Validator(Limits()), SeriesTable()
    table.intern(KEY)
    validator.validate(Decoded(columns([0], stamp_ms=[STAMP_MS]), []), table, [""])
    table.intern(KEY._replace(metric=""))

    checked = validator.validate(Decoded(columns([0, 1], stamp_ms=[STAMP_MS] * 2), []), table, [""])

    assert [r.reason for r in checked.rejections] == [Reason.BAD_NAME]
    assert orjson.loads(checked.rejections[0].payload)["metric"] == ""


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "time_us": st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(EARLIEST_US, LATEST_US),
                "value": st.floats(),
                "quality": st.integers(-1, 2),
                "revision": st.integers(-1, 2),
                "stamp_ms": st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, LATEST_US // 1000),
            }
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_chunk_is_judged_as_its_readings_are_one_by_one(readings: list[dict[str, Any]]) -> None:
    table = SeriesTable()
    table.intern(KEY)
    chunk = columns(
        [0] * len(readings), **{name: [reading[name] for reading in readings] for name in readings[0]}
    )
    checked = Validator(Limits()).validate(Decoded(chunk, []), table, [""])
    refused = {rejection.offset: rejection.reason for rejection in checked.rejections}

    assert len(checked.columns) + len(checked.rejections) == len(readings)
    assert refused == {
        row: why
        for row, reading in enumerate(readings)
        if (why := reason(**reading, producer="")) is not None
    }
