"""Why a reading or a record is refused: the reasons that a dead letter can have."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

WHOLE_RECORD = -1
"""``index`` of a rejection that concerns the record as a whole."""

MAX_DETAIL_CHARS = 500
MAX_PAYLOAD_BYTES = 65_536
MAX_READING_PAYLOAD_BYTES = 2_048
"""Of one reading written out as JSON: a batch repeats its long names for every refused reading."""

MAX_QUARANTINED_BYTES = 1_048_576
"""Of a record that killed workers: nobody could look into it, so all of it is kept."""


class Reason(StrEnum):
    """One member for each way in which input can be wrong."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    UNKNOWN_ENCODING = "unknown_encoding"
    UNKNOWN_SCHEMA = "unknown_schema"
    UNDECODABLE = "undecodable"
    TRAILING_BYTES = "trailing_bytes"
    TOO_MANY_READINGS = "too_many_readings"
    MISSING_FIELD = "missing_field"
    UNKNOWN_FIELD = "unknown_field"
    WRONG_TYPE = "wrong_type"
    SHAPE = "shape"
    BAD_NAME = "bad_name"
    BAD_UNIT = "bad_unit"
    BAD_QUALITY = "bad_quality"
    BAD_ATTRIBUTES = "bad_attributes"
    BAD_TIME = "bad_time"
    BAD_SEQUENCE = "bad_sequence"
    BAD_REVISION = "bad_revision"
    NOT_FINITE = "not_finite"
    TIME_OUT_OF_BOUNDS = "time_out_of_bounds"
    FUTURE = "future"
    SERIES_LIMIT = "series_limit"
    EXPIRED = "expired"
    CONFLICT = "conflict"
    POISON = "poison"


class Refused(Exception):  # noqa: N818 - reads as what happened
    """Input cannot be taken as it is; ``reason`` is the class of fault, the message says what it is."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rejection:
    """One refused reading, or one refused record.

    ``index`` is the reading's position inside its record, or ``WHOLE_RECORD``. ``payload`` is cut
    and ``payload_bytes`` says how long it was.
    """

    offset: int
    index: int
    reason: Reason
    detail: str
    payload: bytes
    payload_bytes: int

    @staticmethod
    def of(
        offset: int,
        index: int,
        reason: Reason,
        detail: str,
        payload: bytes,
        max_payload_bytes: int = MAX_PAYLOAD_BYTES,
    ) -> Rejection:
        """Make a rejection with detail and payload cut to their bounds, and a detail that can be shown.

        >>> Rejection.of(7, WHOLE_RECORD, Reason.EMPTY, "no value", b"").reason
        <Reason.EMPTY: 'empty'>
        """
        shown = "".join(c if c.isprintable() else "\ufffd" for c in detail[:MAX_DETAIL_CHARS])
        return Rejection(offset, index, reason, shown, payload[:max_payload_bytes], len(payload))
