"""One worker process: from start to the last flush. ``python -m streams.worker`` runs one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import logging
import os
import signal
import socket
import stat
import sys
import tempfile
import uuid
from dataclasses import fields
from functools import partial
from pathlib import Path

import faust
from prometheus_client import CollectorRegistry

from sinks.outbox import OutboxRelay
from sinks.redis.status import RedisStatusBoard
from sinks.refresher import RollupRefresher
from sinks.timescale.derived import Deriver
from sinks.timescale.detectors import Detecting
from sinks.timescale.rollup_messages import Told
from sinks.timescale.sink import Bounds, TimescaleSink
from streams.agents.flush import FlushPolicy
from streams.agents.readings import ReadingsAgent
from streams.agents.sink_thread import SinkThread
from streams.core.detect.choice import Choice
from streams.core.limits import Limits
from streams.core.pipeline import Pipeline, Timed, untimed
from streams.core.watermark import Patience
from streams.errors import UserError
from streams.failpoints import switch_on
from streams.logs import set_up_logging
from streams.membership import Slot, take_slot
from streams.observe import Observer
from streams.preflight import wait_until_ready
from streams.schema_registry import SchemaRegistry
from streams.settings import Settings, state_dir
from streams.stopwatch import Stopwatch
from streams.topic_ids import KafkaTopicIds
from streams.transport.app import ChunkApp
from streams.transport.chunk import Chunk
from streams.web import Pages

log = logging.getLogger(__name__)

MIB = 1024 * 1024
DRAIN_S = 5.0
LEAVE_S = 3.0
RELAY_S = 1.0
STATUS_EVERY_S = 1.0
STATUS_TTL_S = 5.0
GC_THRESHOLDS = 50_000, 20, 100
SWITCH_S = 0.001


class Worker:
    """Consumes the readings topic into a sink until it is told to stop."""

    def __init__(self, settings: Settings, slot: Slot) -> None:
        self.owner_id = f"{slot.name}-{uuid.uuid4().hex[:8]}"
        self._settings = settings
        self._slot = slot
        self._board = RedisStatusBoard(settings.redis_url.get_secret_value())
        self._registry = CollectorRegistry()
        self._observer = Observer(self._registry)
        self._stopwatch = Stopwatch(self._registry)
        self._pages = Pages(self._registry, self._not_ready)
        self._sink = SinkThread(
            TimescaleSink(
                settings.writer_dsn,
                self.owner_id,
                Bounds(
                    settings.max_series_per_tenant,
                    settings.memory_mb * MIB,
                    settings.reorder_mb * MIB,
                    parallel_rows=settings.parallel_rows,
                ),
                self._stopwatch,
                settings.dead_letters_topic,
                patience_of(settings),
                told_of(settings),
                detecting_of(settings),
            )
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; raises when going on is not possible."""
        settings = self._settings
        fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._agent = agent = ReadingsAgent(
            self.owner_id,
            pipeline_of(settings, self._stopwatch).together,
            self._sink,
            FlushPolicy(settings.flush_rows, settings.flush_ms / 1000),
            self._observer,
            KafkaTopicIds(settings.kafka),
            settings.poison_after,
            settings.session_timeout_s / 2,
            fatal,
        )
        app = self._app(agent)
        relay = OutboxRelay(
            settings.writer_dsn,
            settings.kafka,
            self.owner_id,
            warn_after_s=settings.outbox_warn_s,
            tell=self._observer.outbox,
        )
        refresher = RollupRefresher(
            settings.writer_dsn,
            self.owner_id,
            told_of(settings),
            derive=Deriver(settings.readings_topic, settings.max_name_chars).derive_some,
            count=self._observer.refreshed,
            fail=self._observer.refresh_failed,
            tell=self._observer.rollups,
        )
        url = await self._pages.start(settings.metrics_host, settings.metrics_port)
        log.info("Worker %s starts; its pages are at %s", self.owner_id, url)
        tasks = [
            asyncio.create_task(agent.flush_forever()),
            asyncio.create_task(agent.guard_forever()),
            asyncio.create_task(self._tell_status(url)),
        ]
        relay.start()
        refresher.start()
        try:
            await app.start()
            spare_garbage_collection()
            # With 5 ms, the thread that stores waited as long for the one that decodes, array after array.
            sys.setswitchinterval(SWITCH_S)
            agent.seeker = app.chunk_consumer
            await self._until_ended(app, stop, fatal)
            await self._leave(app, agent)
        finally:
            for task in tasks:
                task.cancel()
        await self._pages.stop()
        await asyncio.gather(*(asyncio.to_thread(each.stop, RELAY_S) for each in (relay, refresher)))
        await self._sink.close()

    def _app(self, agent: ReadingsAgent) -> ChunkApp:
        settings = self._settings
        app = ChunkApp(
            settings.group,
            owner=agent.ownership,
            hot_topics=frozenset({settings.readings_topic}),
            gather_s=agent.flusher.gather_s,
            count_fetch_cpu=partial(self._stopwatch.add_cpu, "fetch"),
            broker=[f"kafka://{address.strip()}" for address in settings.kafka.split(",")],
            broker_session_timeout=settings.session_timeout_s,
            broker_heartbeat_interval=settings.session_timeout_s / 5,
            broker_rebalance_timeout=1.5 * settings.session_timeout_s,
            consumer_group_instance_id=self._slot.name,
            store="memory://",
            datadir=str(state_dir() / "faust"),
        )

        @app.agent(app.hot_topic(settings.readings_topic), name="readings")
        async def readings(stream: faust.StreamT[list[Chunk]]) -> None:
            await agent.run(stream)

        return app

    async def _until_ended(self, app: ChunkApp, stop: asyncio.Event, fatal: asyncio.Future[None]) -> None:
        ends = [
            asyncio.ensure_future(event)
            for event in (stop.wait(), app._crashed.wait(), app._stopped.wait(), fatal)
        ]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if fatal.done():
            fatal.result()
        for end in ends:
            end.cancel()
        if not stop.is_set():
            raise RuntimeError(f"the Kafka consumer ended: {app.crash_reason!r}")

    async def _leave(self, app: ChunkApp, agent: ReadingsAgent) -> None:
        log.info("Stopping: storing what was taken, then leaving the group")
        try:
            async with asyncio.timeout(DRAIN_S):
                await agent.stop()
        except TimeoutError:
            log.warning("The last flush did not end in %.0f s; its readings stay in Kafka", DRAIN_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_S):
                await app.chunk_consumer.tell_stored()
                agent.ownership.retain(set())
                await app.chunk_consumer.leave_on_stop()
                await app.stop()
        log.info("Stopped")

    def _not_ready(self) -> str:
        ownership = self._agent.ownership
        if ownership.halted:
            return "; ".join(
                f"{tp.topic}/{tp.partition} is halted: {halt.reason}" for tp, halt in ownership.halted.items()
            )
        return "" if ownership.held else "no partition is assigned"

    async def _tell_status(self, metrics_url: str) -> None:
        while True:
            await asyncio.sleep(STATUS_EVERY_S)
            ownership = self._agent.ownership
            self._observer.holds(ownership.held, ownership.halted)
            status = {
                **self._observer.status(),
                "owner": self.owner_id,
                "group": self._settings.group,
                "host": socket.gethostname(),
                "partitions": sorted(tp.partition for tp in ownership.held),
                "halted": {str(tp.partition): halt.reason for tp, halt in ownership.halted.items()},
                "metrics_url": f"{metrics_url}/metrics",
            }
            await asyncio.to_thread(self._board.publish, self.owner_id, status, STATUS_TTL_S)


def pipeline_of(settings: Settings, timed: Timed = untimed) -> Pipeline:
    """Return the stages with the bounds, and the schema registry, that the settings ask for."""
    limits = Limits(**{limit.name: getattr(settings, limit.name) for limit in fields(Limits)})
    url = settings.schema_registry_url
    return Pipeline(limits, SchemaRegistry(url).fingerprint if url else None, timed)


def spare_garbage_collection() -> None:
    """Look for unreachable cycles less often, and never among what was loaded to start.

    Decoded JSON is many short-lived dictionaries, each of them counted as a reason to look through
    everything: that took a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def patience_of(settings: Settings) -> Patience:
    """Return how long is waited for late readings, as the settings ask for."""
    return Patience(
        lateness_us=round(settings.lateness_s * 1_000_000),
        idle_ms=round(settings.producer_idle_s * 1000),
        lag_us=round(settings.producer_lag_s * 1_000_000),
    )


def told_of(settings: Settings) -> Told:
    """Return which closed buckets are told on Kafka, as the settings ask for."""
    return Told.of(settings.rollups_told, settings.rollups_topic)


def detecting_of(settings: Settings) -> Detecting | None:
    """Return what detectors look at, as the settings ask for; None where they look at nothing."""
    if not settings.detect:
        return None
    return Detecting(Choice.of(settings.detect_except), settings.detect_series, settings.anomalies_topic)


def lock_directory(settings: Settings) -> Path:
    """Return where the slots of this Kafka cluster's workers are locked on this host."""
    cluster = hashlib.sha256(settings.kafka.encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"streamgauge-{os.getuid()}" / cluster


def stop_when_closed(fd: int, stop: asyncio.Event) -> None:
    """Stop when the pipe that a supervisor holds open is closed: the supervisor is gone."""
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        asyncio.get_running_loop().add_reader(fd, stop.set)


async def run_until_told(settings: Settings) -> None:
    """Run a worker until SIGTERM, SIGINT, or the end of its supervisor."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stop_when_closed(sys.stdin.fileno(), stop)
    slot = take_slot(lock_directory(settings), settings.group)
    await asyncio.to_thread(wait_until_ready, settings, stop.is_set)
    if not stop.is_set():
        await Worker(settings, slot).run(stop)


async def run_to_the_end(settings: Settings) -> None:
    """Run a worker, and end the process at once when that is over, or cannot go on.

    Tasks and threads of the consumer may not end by themselves, while its heartbeat goes on and keeps the
    partitions from others. None is worth waiting for: what counts is in the database.
    """
    try:
        switch_on()
        await run_until_told(settings)
    except UserError as error:
        log.error("%s. %s", error, error.hint)
        _exit(error.exit_code)
    except BaseException:
        log.exception("This worker cannot go on")
        _exit(1)
    _exit(0)


def _exit(code: int) -> None:
    logging.shutdown()
    os._exit(code)


def main() -> None:
    """Run one worker process; exit code 0 after a stop, 1 when it could not go on."""
    settings = Settings()
    set_up_logging(settings.log_format, settings.log_level)
    asyncio.run(run_to_the_end(settings))


if __name__ == "__main__":
    main()
