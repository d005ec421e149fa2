from __future__ import annotations

import math

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from sinks.protocols import Part
from sinks.refusal import refuse_series
from streams.core.rejection import Reason
from streams.core.series import SeriesKey
from tests.builders import BASE_US, P0, P1, columns, series_table


def test_a_refused_reading_can_be_published_again() -> None:
    table = series_table(SeriesKey("acme", "pump-1", "rpm", (("unit", "1/min"),)))
    part = Part(P0, 1, 0, 9, [columns([0], offset=[8], index=[3], sequence=[41], epoch=[2], quality=[1])])
    (rejection,) = refuse_series([part], np.array([True]), table)[0].rejections
    assert (rejection.offset, rejection.index, rejection.reason) == (8, 3, Reason.SERIES_LIMIT)
    assert orjson.loads(rejection.payload) == {
        "tenant": "acme",
        "source": "pump-1",
        "metric": "rpm",
        "attributes": {"unit": "1/min"},
        "time": BASE_US,
        "value": 0.0,
        "quality": "uncertain",
        "epoch": 2,
        "sequence": 41,
    }


def test_a_refused_reading_without_a_value_is_valid_json() -> None:
    part = Part(P0, 1, 0, 1, [columns([0], value=[math.nan], quality=[2])])
    (rejection,) = refuse_series([part], np.array([True]), series_table("rpm"))[0].rejections
    assert orjson.loads(rejection.payload)["value"] is None


def test_the_flush_that_was_given_stays_as_it_was() -> None:
    part = Part(P0, 1, 0, 1, [columns([0])])
    refuse_series([part], np.array([True]), series_table("rpm"))
    assert len(part.columns[0]) == 1
    assert part.rejections == []


@given(st.lists(st.lists(st.booleans(), max_size=4), max_size=6))
def test_every_reading_is_kept_or_refused_in_its_own_part(masks: list[list[bool]]) -> None:
    parts = [Part(P0, 1, 0, 0), Part(P1, 1, 0, 0)]
    for number, mask in enumerate(masks):
        parts[number % 2].columns.append(columns([0] * len(mask), offset=[number] * len(mask)))
    ordered = masks[0::2] + masks[1::2]
    refused = np.array([refuse for mask in ordered for refuse in mask], np.bool_)
    result = refuse_series(parts, refused, series_table("rpm"))
    for number, mask in enumerate(masks):
        kept = result[number % 2].columns[number // 2]
        assert kept.index.tolist() == [0] * mask.count(False)
        letters = [letter for letter in result[number % 2].rejections if letter.offset == number]
        assert len(letters) == mask.count(True)
