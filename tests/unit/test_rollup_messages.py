"""Closed buckets as messages: what they carry, and under which key and id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from schemas.encode import BAD, GOOD
from schemas.registry import ROLLUP_V1
from schemas.rollup import decode_rollup
from sinks.timescale.rollup_messages import messages
from streams.core.aggregate import aggregate
from streams.core.batch import Points

HOUR_US = 3_600_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = {7: ("acme", "pump-1", "rpm"), 8: ("acme", "pump-2", "Wärme")}
ROWS = aggregate(
    Points(
        np.array([7, 7, 8], np.int32),
        np.array([HOUR_US + 1_000_000, HOUR_US + 3_000_000, 5]),
        np.array([5.0, 3.0, 1.0]),
        np.array([GOOD, GOOD, BAD], np.int16),
    ),
    HOUR_US,
)


def test_a_message_carries_the_bucket_and_names_its_series() -> None:
    (_, _, message), (_, _, empty) = messages("1h", ROWS, np.array([2, 0], np.int32), NAMES)

    assert decode_rollup(message) == {
        "series_id": 7,
        "tenant": "acme",
        "source": "pump-1",
        "metric": "rpm",
        "level": "1h",
        "time": EPOCH + timedelta(hours=1),
        "revision": 2,
        "readings": 2,
        "bad": 0,
        "values": {
            "sum": 8.0,
            "min": 3.0,
            "max": 5.0,
            "first": 5.0,
            "first_at": EPOCH + timedelta(hours=1, seconds=1),
            "last": 3.0,
            "last_at": EPOCH + timedelta(hours=1, seconds=3),
            "m2": 2.0,
            "increase": 3.0,
            "integral": 10.0,
        },
    }
    assert decode_rollup(empty)["metric"] == "Wärme"
    assert decode_rollup(empty)["values"] is None


def test_nothing_is_told_of_a_series_that_is_gone() -> None:
    (event_id, _, _), *others = messages("1h", ROWS, np.zeros(2, np.int32), {8: NAMES[8]})

    assert event_id == "8/1h/0/0"
    assert others == []


def test_revisions_of_a_bucket_share_a_key_and_nothing_else_does() -> None:
    made = [
        message
        for level in ("1h", "1d")
        for revision in (0, 1)
        for message in messages(level, ROWS, np.full(2, revision, np.int32), NAMES)
    ]

    assert len({event_id for event_id, _, _ in made}) == 8
    assert len({key for _, key, _ in made}) == 4
    assert made[0][:2] == (f"7/1h/{HOUR_US}/0", f"7/1h/{HOUR_US}".encode())


@pytest.mark.parametrize("message", [b"", b"\xde\xad", ROLLUP_V1.prefix[:-1]])
def test_anything_else_is_no_rollup(message: bytes) -> None:
    with pytest.raises(ValueError, match="does not begin as a rollup does"):
        decode_rollup(message)
