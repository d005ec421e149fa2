"""Readings judged by a small native kernel, where one was built: those of many series in one call.

The kernel (``kernel/lookout.c``) works on the arrays that NumPy works on otherwise, and leaves the same
in them, bit for bit. It calls into Python for nothing, so other threads run meanwhile.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streams.core.batch import Bools, Points
from streams.core.detect.episodes import REFRACTORY, Episode
from streams.core.detect.likelihood import Findings
from streams.core.detect.memory import Arrays, Rows
from streams.core.detect.tail import LOG10_AFTER
from streams.core.native import Functions, load

LIBRARY = Path(__file__).with_name("kernel") / "lookout.so"

_TAIL = ("tail_counts", "tail_at_least", "tail_seen", "last_us")
_SIGNALS = ("count", "low", "high", "smooth", "mean", "slot_mean", "slot_count")
_ARRAYS = (
    "order.last_us",
    *(f"likelihood.signals.state.{name}" for name in _SIGNALS),
    *(f"likelihood.deviation.state.{name}" for name in ("mean", "variance", "count", *_TAIL)),
    *(f"likelihood.range_novelty.state.{name}" for name in ("low", "high", "count", *_TAIL)),
    *(f"episodes.state.{name}" for name in ("quiet", *Episode._fields)),
)
"""What the kernel works on, in its order."""

_EPISODE = np.dtype([(name, "f8" if name == "peak" else "i8") for name in Episode._fields])

_POINTER, _INT64 = ctypes.c_void_p, ctypes.c_int64
_FUNCTIONS: Functions = {"judge": (_INT64, [_POINTER, _INT64, _POINTER, _POINTER, _POINTER])}

LOADED = load(LIBRARY, _FUNCTIONS, "judged")


def judge(
    library: ctypes.CDLL,
    memory: Arrays,
    points: Points,
    readings: Rows,
    rows: Rows,
    begin: Rows,
    findings: Findings,
    began: Bools,
) -> list[Episode]:
    """Judge some readings of series, write what is thought of each, and return the episodes that are over.

    ``readings`` are which of the points, sorted by series, then time. ``rows`` are the places of the
    series; ``begin`` is where the readings of each begin, and where those of the last one end.
    """
    series = points.series_id[readings[begin[:-1]]].astype(np.int64)
    over = np.empty(len(rows) + len(readings) // REFRACTORY, _EPISODE)
    time_us = np.ascontiguousarray(points.time_us, np.int64)
    value = np.ascontiguousarray(points.value, np.float64)
    count = library.streamgauge_judge(
        _addresses([*(memory[name] for name in _ARRAYS), LOG10_AFTER]),
        len(rows),
        _addresses([rows, series, begin, readings, time_us, value]),
        _addresses([*findings, began]),
        over.ctypes.data,
    )
    return [Episode(*fields) for fields in over[:count].tolist()]


def _addresses(arrays: Sequence[npt.NDArray[Any]]) -> ctypes.Array[ctypes.c_void_p]:
    return (_POINTER * len(arrays))(*(array.ctypes.data for array in arrays))
