"""A refused reading tells by its dead letter when it was due."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.benchmark.openloop import refused
from jobs.benchmark.sightings import refusal
from schemas.dead_letter import encode_dead_letter
from streams.core.batch import Messages
from streams.core.decode import Decoder
from streams.core.limits import Limits
from streams.core.rejection import Reason
from streams.core.series import SeriesTable
from streams.core.validate import Validator

DUE_S = 1_790_000_000.123457


def test_a_refused_reading_says_in_its_dead_letter_when_it_was_due() -> None:
    decoder = Decoder(Limits(), SeriesTable())
    stamp_ms = np.array([round(DUE_S * 1000)])
    decoded = decoder.decode(Messages([refused(3, DUE_S).value], [None], np.array([7]), stamp_ms))
    validated = Validator(Limits()).validate(decoded, decoder.series, decoder.producers)
    (rejection,) = validated.rejections

    assert len(validated.columns) == 0
    assert rejection.reason is Reason.NOT_FINITE
    letter = encode_dead_letter(
        topic="t",
        partition=0,
        offset=rejection.offset,
        index=rejection.index,
        time_ms=None,
        reason=rejection.reason,
        detail=rejection.detail,
        payload=rejection.payload,
        payload_bytes=rejection.payload_bytes,
    )
    source, due_s = refusal(letter)
    assert source == "refused-3"
    assert due_s == pytest.approx(DUE_S, abs=1e-6)
