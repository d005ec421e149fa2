"""Quix Streams with a batching sink of our own, since its PostgreSQL sink has no COPY."""

from __future__ import annotations

from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch
from table import GROUP, KAFKA, STATE, TOPIC, Table


class CopySink(BatchingSink):
    """Stores a checkpoint's readings of one partition at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._table = Table()

    def write(self, batch: SinkBatch) -> None:
        """Store one batch."""
        self._table.store([item.value for item in batch])


def main() -> None:
    """Run until killed."""
    app = Application(
        broker_address=KAFKA,
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        commit_every=20_000,
        commit_interval=0.5,
        state_dir=STATE,
        consumer_extra_config={"session.timeout.ms": 6000, "fetch.queue.backoff.ms": 5},
    )
    frame = app.dataframe(app.topic(TOPIC, value_deserializer="json"))
    frame = frame.apply(lambda value: value if isinstance(value, list) else [value], expand=True)
    frame.sink(CopySink())
    app.run()


if __name__ == "__main__":
    main()
