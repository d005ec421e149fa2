"""Pathway with a subscriber that stores, since its PostgreSQL writer wants a table of its own form."""

from __future__ import annotations

import pathway as pw
from table import GROUP, KAFKA, STATE, TOPIC, Table


class Reading(pw.Schema):
    """A JSON reading, as far as it is stored."""

    source: str
    metric: str
    time: int
    value: float


class Storer:
    """Collects the rows of one of Pathway's times and stores them at its end."""

    def __init__(self) -> None:
        self._table = Table()
        self._rows: list[dict[str, object]] = []

    def on_change(self, key: object, row: dict[str, object], time: int, is_addition: bool) -> None:
        """Collect one row."""
        self._rows.append(row)

    def on_time_end(self, time: int) -> None:
        """Store them."""
        rows, self._rows = self._rows, []
        self._table.store(rows)


def main() -> None:
    """Run until killed; a snapshot is taken every second."""
    settings = {
        "bootstrap.servers": KAFKA,
        "group.id": GROUP,
        "auto.offset.reset": "earliest",
        "session.timeout.ms": "6000",
    }
    readings = pw.io.kafka.read(
        settings, topic=TOPIC, format="json", schema=Reading, autocommit_duration_ms=100, name="readings"
    )
    storer = Storer()
    pw.io.subscribe(readings, on_change=storer.on_change, on_time_end=storer.on_time_end)
    backend = pw.persistence.Backend.filesystem(STATE)
    config = pw.persistence.Config(backend, snapshot_interval_ms=1000)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE, persistence_config=config)


if __name__ == "__main__":
    main()
