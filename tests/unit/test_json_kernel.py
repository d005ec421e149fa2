"""The native kernel: what it takes and what it declines, what it remembers, and that it is there at all."""

from __future__ import annotations

import json
import shutil
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streams.core.batch import Columns, Int64, Messages
from streams.core.limits import Limits
from streams.core.names import Names
from streams.core.rfc3339 import parse_us
from streams.core.wire import json_kernel
from streams.core.wire.headers import KeyProducers
from streams.core.wire.json_kernel import KernelReader
from streams.core.wire.lockstep import Buffer

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler is here, so no kernel")

LIMITS = Limits(max_name_chars=12, max_attributes=2, max_readings_per_message=3)
HEAD = b'"source":"a","metric":"b"'
PLAIN = b"{" + HEAD + b',"time":1,"value":2}'


class Reader:
    """A kernel reader with its names, for messages alone."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        library = json_kernel.LOADED.library
        assert library is not None
        self.names = Names(limits)
        self.kernel = KernelReader(library, self.names, limits, KeyProducers(self.names))

    def read(self, *values: bytes, keys: list[bytes | None] | None = None) -> tuple[Columns, Int64]:
        count = len(values)
        messages = Messages(values, keys or [None] * count, 10 + np.arange(count), 5 + np.arange(count))
        return self.kernel.read(Buffer(values), np.arange(count), messages)


def reading(**given: Any) -> bytes:
    return json.dumps({"source": "a", "metric": "b", "time": 1, "value": 2, **given}).encode()


def with_value(written: str) -> bytes:
    return b"{%b" % HEAD + b',"time":1,"value":' + written.encode() + b"}"


def bits(number: float) -> bytes:
    return struct.pack("<d", number)


@pytest.mark.parametrize(
    "message",
    [
        PLAIN,
        b" \t\r\n" + PLAIN + b" \t\r\n",
        b"[" + PLAIN + b"]",
        b" [ " + PLAIN + b" ,\n" + PLAIN + b" ] ",
        b'{ "value" : 2.5 , "time" : -1 , "metric" : "b" , "source" : "a" }',
        reading(time="2026-01-31T12:00:00.123456789+01:00"),
        reading(value=None, quality="bad"),
        reading(tenant="t", producer="p", epoch=-5, sequence=(1 << 63) - 2, quality="uncertain"),
        reading(revision=(1 << 31) - 1, attributes={"x": "Ü", "y": '"}{'}),
        reading(attributes=None, producer=None, sequence=None),
        reading(attributes={}, source="", metric="Ölstand"),
        reading(source='\\"', metric="\n", time=(1 << 63) - 1),
        b'{"source":"a","metric":"\xc3\x9c","time":1,"value":2}',
        with_value("1.2345678901234567890123456789"),
    ],
)
def test_the_common_form_is_taken(message: bytes) -> None:
    columns, declined = Reader().read(message)

    assert declined.tolist() == []
    assert len(columns) == (2 if message.count(b"source") == 2 else 1)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b"[]",
        b"[" + b",".join([PLAIN] * 4) + b"]",
        PLAIN + b"}",
        PLAIN + PLAIN,
        PLAIN + b"\0",
        PLAIN[:-1] + b",}",
        PLAIN[:-1] + b',"value":3}',
        PLAIN[:-1] + b',"colour":3}',
        PLAIN[:-1] + b',"epoch":1 2}',
        b"[" + PLAIN,
        b"[" + PLAIN + b",]",
        b"[" + PLAIN + b"]]",
        b"[" + PLAIN + b"] 1",
        b"[[" + PLAIN + b"]]",
        b'{"source":"a","time":1,"value":2}',
        b'{"source":"\xff","metric":"b","time":1,"value":2}',
        b'{"source":"\n","metric":"b","time":1,"value":2}',
        rb'{"source":"\ud800","metric":"b","time":1,"value":2}',
        rb'{"\u0073ource":"a","metric":"b","time":1,"value":2}',
        reading(source="a-name-too-long"),
        reading(source=1),
        reading(producer=1),
        reading(tenant=None),
        reading(attributes={"a": {}}),
        reading(attributes={"a": []}),
        reading(attributes={"a": 1}),
        reading(attributes={"a": "", "b": "", "c": ""}),
        PLAIN[:-1] + b',"attributes":{"a" "b"}}',
        reading(quality="fine"),
        rb'{"source":"a","metric":"b","time":1,"value":2,"quality":"\u0067ood"}',
        reading(revision=1 << 31),
        reading(revision=-1),
        reading(sequence=-1),
        reading(sequence=(1 << 63) - 1),
        reading(epoch=1 << 63),
        reading(epoch=None),
        reading(epoch=1.0),
        reading(time=True),
        reading(time="2026-12-31T23:59:60Z"),
        reading(time="2026-02-29T00:00:00Z"),
        reading(time="2026-01-31T12:00:00"),
        reading(time="2026-01-31T12:00:00.Z"),
        reading(time="2026-01-31T12:00:00.1234567890Z"),
        reading(value="2"),
        reading(value=[2]),
        *map(with_value, ("-0", "01", "1.", ".5", "+1", "1e", "1e309", "NaN", "Infinity", "0x10", "9" * 80)),
    ],
)
def test_what_is_not_of_it_is_declined_alone_and_leaves_nothing(message: bytes) -> None:
    reader = Reader()
    columns, declined = reader.read(PLAIN, b"[" + PLAIN + b",", message, PLAIN)

    assert declined.tolist() == [1, 2]
    assert columns.offset.tolist() == [10, 13]
    assert columns.value.tolist() == [2.0, 2.0]


def test_a_declined_message_leaves_no_names() -> None:
    reader = Reader()
    reader.read(b"[" + reading(source="new", producer="p") + b"," + reading(value="2") + b"]")

    assert len(reader.names.series) == 0
    assert reader.names.producers == [""]


@pytest.mark.parametrize("cut", range(1, len(PLAIN)))
def test_what_lies_behind_a_message_is_not_read(cut: int) -> None:
    _, declined = Reader().read(PLAIN[:cut], PLAIN[cut:])

    assert declined.tolist() == [0, 1]


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(-0.0)
@example(1.7976931348623157e308)
def test_every_double_is_read_bit_for_bit(number: float) -> None:
    columns, declined = Reader().read(*map(with_value, (f"{number!r}", f"{number:.3e}", f"{number:.25e}")))

    values = columns.value.tolist()
    expected = [float(text) for text in (f"{number!r}", f"{number:.3e}", f"{number:.25e}")]
    kept = [value for row, value in enumerate(expected) if row not in declined.tolist()]
    assert list(map(bits, values)) == list(map(bits, kept))
    assert 0 not in declined


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**15), max_value=10**15))
def test_decimal_fractions_are_read_bit_for_bit(number: Any) -> None:
    columns, declined = Reader().read(with_value(f"{number:f}"))

    assert (declined.tolist(), bits(columns.value[0])) == ([], bits(float(f"{number:f}")))


def test_numbers_at_the_bounds_of_what_doubles_hold_are_read_bit_for_bit() -> None:
    drawn = np.random.default_rng(1)
    digits = drawn.integers(1 << 52, 10**18, 4000).tolist() + list(range((1 << 53) - 9, (1 << 53) + 9))
    texts = [f"{number}e{-18 + place % 44}" for place, number in enumerate(digits)]
    texts += [f"{number}e{power}" for number in range(1, 200, 3) for power in range(-26, 27)]
    columns, declined = Reader().read(*map(with_value, texts))

    assert declined.tolist() == []
    assert list(map(bits, columns.value)) == [bits(float(text)) for text in texts]


@given(st.integers(-(1 << 63) + 1, (1 << 63) - 1))
def test_integers_are_times_values_and_epochs(number: int) -> None:
    columns, declined = Reader().read(reading(time=number, value=number, epoch=number))

    if number != 0 or not declined.size:
        assert (columns.time_us.tolist(), columns.epoch.tolist()) == ([number], [number])
        assert bits(columns.value[0]) == bits(float(number))


def test_each_day_is_where_the_calendar_has_it() -> None:
    years = (1, 4, 100, 400, 1582, 1899, 1900, 1970, 1999, 2000, 2023, 2024, 2100, 9999)
    days = [f"{year:04}-{month:02}-{day:02}" for year in years for month in range(14) for day in range(33)]
    texts = [f"{day}T23:59:59.5-23:59" for day in days]
    columns, declined = Reader().read(*(reading(time=text) for text in texts))

    exact: list[int | None] = []
    for text in texts:
        try:
            exact.append(parse_us(text))
        except ValueError:
            exact.append(None)
    assert [row for row, time_us in enumerate(exact) if time_us is None] == declined.tolist()
    assert [time_us for time_us in exact if time_us is not None] == columns.time_us.tolist()


def test_many_series_in_turn_are_told_apart_and_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    names = [f"pump-{number}" for number in range(5000)]
    values = [reading(source=name, producer=name[-1]) for name in names] * 2
    first, _ = reader.read(*values)
    monkeypatch.setattr(json_kernel, "read_header", lambda header, _: pytest.fail(f"{header} was read again"))
    second, _ = reader.read(*values)

    for columns in (first, second):
        assert [reader.names.series.keys[number].source for number in columns.series] == names * 2
        assert [reader.names.producers[number] for number in columns.producer] == [n[-1] for n in names] * 2


def test_what_takes_too_much_is_forgotten_and_learnt_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_kernel, "MAX_REMEMBERED_BYTES", 0)
    reader = Reader()
    for _ in range(3):
        columns, declined = reader.read(reading(source="x"), reading(source="y"), reading(source="x"))

        assert (columns.series.tolist(), declined.tolist()) == ([0, 1, 0], [])


def test_headers_of_one_hash_are_told_apart_until_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    # A word of a key that equals the seed makes everything before it count for nothing.
    monkeypatch.setattr(json_kernel, "SEED", int.from_bytes(b"a" * 8, "little"))
    reader = Reader(Limits())
    sources = [f"{number:09}{'a' * 8}" for number in range(70)]
    for _ in range(2):
        columns, declined = reader.read(*(reading(source=source) for source in sources))

        assert [reader.names.series.keys[number].source for number in columns.series] == sources[:64]
        assert declined.tolist() == list(range(64, 70))


def test_headers_that_nobody_could_read_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(json_kernel, "read_header", interrupted)
        reader.read(reading(source="x"), reading(source="y"))
    columns, _ = reader.read(reading(source="y"))

    assert reader.names.series.keys[columns.series[0]].source == "y"


def interrupted(_header: bytes, _names: Names) -> int:
    raise KeyboardInterrupt


def test_the_key_stands_for_a_producer_that_is_not_named() -> None:
    reader = Reader()
    columns, declined = reader.read(
        reading(sequence=7), reading(sequence=7), reading(), keys=[b"gw", None, b"a-name-too-long"]
    )

    assert [reader.names.producers[number] for number in columns.producer] == ["gw", ""]
    assert columns.sequence.tolist() == [7, -1]
    assert declined.tolist() == [2]
