"""Bytewax with a sink of our own, since it has none for PostgreSQL; its state is kept on disk."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import init_db_dir
from table import KAFKA, STATE, TOPIC, Table

BATCH = 5_000


class Partition(StatelessSinkPartition):
    """Stores what comes together."""

    def __init__(self) -> None:
        self._table = Table()

    def write_batch(self, items: list[bytes]) -> None:
        """Store one batch of messages."""
        decoded = orjson.loads(b"[" + b",".join(items) + b"]")
        arrays = decoded and isinstance(decoded[0], list)
        self._table.store([each for some in decoded for each in some] if arrays else decoded)


class CopySink(DynamicSink):
    """One connection a worker."""

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Partition:
        """Open it."""
        return Partition()


flow = Dataflow("peers")
_messages = op.input("kafka", flow, KafkaSource([KAFKA], [TOPIC], tail=True, batch_size=BATCH))
op.output("copy", op.map("value", _messages, lambda message: message.value), CopySink())


def main() -> None:
    """Run until killed; a snapshot is taken every second."""
    if not any(Path(STATE).glob("*.sqlite3")):
        init_db_dir(Path(STATE), 1)
    here = Path(__file__)
    os.chdir(here.parent)
    run = ["-m", "bytewax.run", f"{here.stem}:flow", "-r", STATE, "-s", "1", "-b", "0"]
    os.execv(sys.executable, [sys.executable, *run])


if __name__ == "__main__":
    main()
