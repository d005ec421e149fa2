"""JSON readings read by a small native kernel, where one was built: a whole chunk in one call.

The kernel (``kernel/json.c``) takes the common form only and declines every message that is not of it.
It calls into Python for nothing, so other threads run meanwhile.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from streams.core.batch import UNNUMBERED, Columns, Int64, Messages
from streams.core.limits import Limits
from streams.core.names import ANONYMOUS, Names
from streams.core.native import Functions, load
from streams.core.wire.headers import UNKNOWN, KeyProducers, unpack
from streams.core.wire.json_exact import read_header
from streams.core.wire.lockstep import Buffer
from streams.core.wire.memo import MAX_REMEMBERED_BYTES

LIBRARY = Path(__file__).with_name("kernel") / "json.so"

SEED = hash("headers") & 0xFFFF_FFFF_FFFF_FFFF
"""Another one in each process, so that nobody can know which headers collide."""

_LEAST_READING_BYTES = len('{"source":"","metric":"","time":0,"value":0}')
_COLUMNS = 8
_RECORD = np.dtype([("hash", "<u8"), ("packed", "<i8"), ("key_bytes", "<u8")])
_KEY_PADDING = 16
_FIRST_FRESH = -2

_POINTER, _INT64 = ctypes.c_void_p, ctypes.c_int64
_FUNCTIONS: Functions = {
    "new": (_POINTER, [ctypes.c_uint64]),
    "free": (None, [_POINTER]),
    "forget": (None, [_POINTER]),
    "bytes": (ctypes.c_uint64, [_POINTER]),
    "fresh": (_POINTER, [_POINTER, ctypes.POINTER(ctypes.c_uint64)]),
    "learn": (None, [_POINTER, _POINTER]),
    "read": (
        _INT64,
        [_POINTER, ctypes.c_char_p, _POINTER, _POINTER, _INT64, _INT64, _POINTER, _POINTER, _INT64],
    ),
}


LOADED = load(LIBRARY, _FUNCTIONS, "read")


class KernelReader:
    """Reads the JSON messages of a chunk that are of the common form.

    What names a reading is remembered as the bytes that it came as. New bytes are read here, strictly.
    """

    def __init__(
        self, library: ctypes.CDLL, names: Names, limits: Limits, key_producers: KeyProducers
    ) -> None:
        self._library = library
        self._names = names
        self._limits = limits
        self._key_producers = key_producers
        self._headers = library.streamgauge_new(SEED)
        if not self._headers:
            raise MemoryError
        weakref.finalize(self, library.streamgauge_free, self._headers)

    def read(self, buffer: Buffer, rows: Int64, messages: Messages) -> tuple[Columns, Int64]:
        """Read the messages ``rows`` of a chunk; return the readings, and the rows that are declined."""
        if self._library.streamgauge_bytes(self._headers) > MAX_REMEMBERED_BYTES:
            self._library.streamgauge_forget(self._headers)
        begin, end = buffer.begin[rows], buffer.end[rows]
        room = int((end - begin).sum()) // _LEAST_READING_BYTES
        read, counts = np.empty((_COLUMNS, room), np.int64), np.empty(len(rows), np.int64)
        count = self._library.streamgauge_read(
            self._headers,
            buffer.data,
            begin.ctypes.data,
            end.ctypes.data,
            len(rows),
            self._limits.max_readings_per_message,
            counts.ctypes.data,
            read.ctypes.data,
            room,
        )
        packed, time_us, value, epoch, sequence, revision, quality, index = read[:, :count]
        self._learn(packed)
        row = np.repeat(rows, counts)
        series, producer = unpack(packed)
        producer = self._key_producers.complete(producer, row, messages.keys)
        columns = Columns(
            series=series.astype(np.int32),
            time_us=time_us.copy(),
            value=value.view(np.float64).copy(),
            quality=quality.astype(np.int16),
            revision=revision.astype(np.int32),
            producer=producer.astype(np.int32),
            epoch=epoch.copy(),
            sequence=np.where(producer == ANONYMOUS, UNNUMBERED, sequence),
            offset=messages.offsets[row],
            index=index.astype(np.int32),
            stamp_ms=messages.timestamps_ms[row],
        )
        declined = counts == 0
        refused = (packed == UNKNOWN) | (producer == UNKNOWN)
        if refused.any():
            of_message = np.repeat(np.arange(len(rows)), counts)
            declined[of_message[refused]] = True
            columns = columns.take(~declined[of_message])
        return columns, rows[declined]

    def _learn(self, packed: Int64) -> None:
        """Read the headers that are new, and put what they are in place of their numbers."""
        found = np.fromiter((read_header(header, self._names) for header in self._fresh()), np.int64)
        if len(found):
            self._library.streamgauge_learn(self._headers, found.ctypes.data)
            fresh = packed <= _FIRST_FRESH
            packed[fresh] = found[_FIRST_FRESH - packed[fresh]]

    def _fresh(self) -> Iterator[bytes]:
        size = ctypes.c_uint64()
        records = self._library.streamgauge_fresh(self._headers, ctypes.byref(size))
        data = ctypes.string_at(records, size.value) if size.value else b""
        at = 0
        while at < len(data):
            key_bytes = int(np.frombuffer(data, _RECORD, 1, at)["key_bytes"][0])
            at += _RECORD.itemsize
            yield data[at : at + key_bytes]
            at += -(-key_bytes // _KEY_PADDING) * _KEY_PADDING
