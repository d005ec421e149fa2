"""Faust as its guide shows it: an agent that takes batches, with COPY."""

from __future__ import annotations

import asyncio
import sys

import faust
import orjson
from table import GROUP, KAFKA, STATE, TOPIC, Table

app = faust.App(
    GROUP,
    broker=f"kafka://{KAFKA}",
    store="memory://",
    datadir=STATE,
    web_enabled=False,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    broker_session_timeout=6,
    broker_heartbeat_interval=1,
)


@app.agent(app.topic(TOPIC, value_type=bytes, value_serializer="raw"))
async def store(stream: faust.StreamT[bytes]) -> None:
    """Store two thousand messages at a time."""
    table = Table()
    async for values in stream.take(2_000, within=0.1):
        decoded = [orjson.loads(value) for value in values]
        readings = [each for some in decoded for each in (some if isinstance(some, list) else [some])]
        await asyncio.get_running_loop().run_in_executor(None, table.store, readings)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "-l", "warn"]
    app.main()
