"""What a producer writes down before it sends, as ``streamgauge verify --ledger`` reads it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import orjson


class Reading(NamedTuple):
    """One reading as its producer knows it."""

    source: str
    metric: str
    time_us: int
    value: float
    producer: str
    epoch: int = 0
    sequence: int | None = None
    quality: int = 0
    revision: int = 0
    tenant: str = "default"


class Ledger:
    """The ledger of one producer, on the disk before anything is sent."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.readings = 0

    def write(self, message: int, readings: Sequence[Reading]) -> None:
        """Write down what ``message`` is about to say, and wait until the disk has it."""
        for index, reading in enumerate(readings):
            line = {"message": message, "index": index, **reading._asdict()}
            line["time"] = line.pop("time_us")
            self._file.write(orjson.dumps(line) + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self.readings += len(readings)

    def acknowledge(self, message: int, partition: int, offset: int) -> None:
        """Write down where Kafka keeps the message."""
        place = {"message": message, "partition": partition, "offset": offset}
        self._file.write(orjson.dumps(place) + b"\n")

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
