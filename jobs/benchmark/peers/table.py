"""What the programs of this directory share: the table, its binary COPY, and a note of each commit.

Needs numpy and psycopg only. Where things are stands in the environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

KAFKA = os.environ.get("PEER_KAFKA", "")
TOPIC = os.environ.get("PEER_TOPIC", "")
GROUP = os.environ.get("PEER_GROUP", "")
STATE = os.environ.get("PEER_STATE", "")
ROWS = int(os.environ.get("PEER_ROWS", "50000"))
"""Readings in a transaction, where the framework lets one choose."""

HEADER, TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
POSTGRES_EPOCH_US = 946_684_800_000_000
FIELDS = [
    ("fields", ">i2"),
    ("ts_bytes", ">i4"),
    ("ts", ">i8"),
    ("value_bytes", ">i4"),
    ("value", ">f8"),
    ("series_bytes", ">i4"),
    ("series", ">i4"),
    ("quality_bytes", ">i4"),
    ("quality", ">i2"),
]
ROW = np.array([(4, 8, 0, 8, 0, 4, 0, 2, 0)], FIELDS)
COPY = "COPY readings (ts, value, series_id, quality) FROM STDIN (FORMAT BINARY)"
SERIES = """
    INSERT INTO series (tenant, source, metric) VALUES ('default', %s, %s)
    ON CONFLICT (source, metric, tenant) DO UPDATE SET metric = excluded.metric RETURNING series_id
"""


class Table:
    """Stores JSON readings, each call a transaction."""

    def __init__(self) -> None:
        self._session = psycopg.connect(os.environ["PEER_DSN"])
        self._session.execute("SET synchronous_commit TO off")
        self._commits = Path(os.environ["PEER_COMMITS"])
        self._series: dict[tuple[str, str], int] = {}

    def store(self, readings: Sequence[dict[str, Any]]) -> None:
        """Copy readings by series and time, and commit."""
        if not readings:
            return
        count = len(readings)
        series = np.fromiter((self._number(each) for each in readings), np.int64, count)
        time_us = np.fromiter((each["time"] for each in readings), np.int64, count)
        value = np.fromiter((each["value"] for each in readings), np.float64, count)
        order = np.lexsort((time_us, series))
        rows = np.repeat(ROW, count)
        rows["ts"], rows["value"], rows["series"] = (
            time_us[order] - POSTGRES_EPOCH_US,
            value[order],
            series[order],
        )
        with self._session.cursor() as cursor, cursor.copy(COPY) as copy:
            copy.write(HEADER)
            copy.write(rows.tobytes())
            copy.write(TRAILER)
        self._session.commit()
        with self._commits.open("a") as file:
            file.write(f"{time.time()} {count}\n")

    def _number(self, reading: dict[str, Any]) -> int:
        name = reading["source"], reading["metric"]
        number = self._series.get(name)
        if number is None:
            row = self._session.execute(SERIES, name).fetchone()
            assert row is not None
            number = self._series[name] = row[0]
        return number
