"""Real worker processes on a real topic and a database of their own, and what they stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from jobs.generate import Encoding, Load, messages
from jobs.producer import ReadingsProducer
from streams.settings import Settings
from tests.waiting import eventually
from tests.workers import WorkerProcess, change_nothing

SESSION_S = 6.0


@dataclass(slots=True)
class Ingest:
    """A topic, a database, and the workers between them."""

    topic: str
    dsn: str
    settings: Settings
    directory: Path
    admin: AdminClient
    session: psycopg.Connection[Any]
    cleanup: ExitStack

    @property
    def letters_topic(self) -> str:
        """Where this test's workers tell of dead letters."""
        return f"{self.topic}.dead-letters"

    @property
    def rollups_topic(self) -> str:
        """Where this test's workers tell of closed buckets."""
        return f"{self.topic}.rollups"

    @property
    def anomalies_topic(self) -> str:
        """Where this test's workers tell of episodes."""
        return f"{self.topic}.anomalies"

    def worker(self, change: Callable[[], None] = change_nothing, /, **environment: str) -> WorkerProcess:
        """Start a worker, changed as a test wants it; it is killed at the end of the test."""
        values = {
            **os.environ,
            "STREAMGAUGE_KAFKA": self.settings.kafka,
            "STREAMGAUGE_DATABASE_URL": self.dsn,
            "STREAMGAUGE_REDIS_URL": self.settings.redis_url.get_secret_value(),
            "STREAMGAUGE_READINGS_TOPIC": self.topic,
            "STREAMGAUGE_DEAD_LETTERS_TOPIC": self.letters_topic,
            "STREAMGAUGE_ROLLUPS_TOPIC": self.rollups_topic,
            "STREAMGAUGE_ANOMALIES_TOPIC": self.anomalies_topic,
            "STREAMGAUGE_GROUP": self.topic,
            "STREAMGAUGE_SESSION_TIMEOUT_S": str(SESSION_S),
            "STREAMGAUGE_LOG_FORMAT": "human",
            **environment,
        }
        worker = WorkerProcess(values, self.directory / f"worker-{uuid4().hex[:6]}.log", change)
        self.cleanup.callback(worker.kill)
        return worker

    def cli(self, *words: str) -> Any:
        """Run a verb on this database and return the JSON that it prints."""
        environment = {**os.environ, "STREAMGAUGE_DATABASE_URL": self.dsn}
        command = [sys.executable, "-m", "jobs.cli", *words]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return json.loads(ended.stdout)

    def publish(self, load: Load) -> None:
        """Send a load and wait until the broker has it."""
        producer = ReadingsProducer(self.settings.kafka, self.topic)
        for message in messages(load):
            producer.send(message)
        assert producer.flush(60) == 0

    def log_ends(self) -> dict[int, int]:
        """Return the end of each partition's log, as a reader of committed records sees it."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.settings.kafka,
                "group.id": f"{self.topic}-ends",
                "isolation.level": "read_committed",
            }
        )
        numbers = consumer.list_topics(self.topic, timeout=10).topics[self.topic].partitions
        ends = {
            number: consumer.get_watermark_offsets(TopicPartition(self.topic, number), timeout=10)[1]
            for number in numbers
        }
        consumer.close()
        return ends

    def progress(self) -> dict[int, int]:
        """Return the stored next offset of each partition."""
        rows = self.session.execute(
            "SELECT partition, next_offset FROM progress WHERE topic = %s", (self.topic,)
        )
        return dict(rows.fetchall())

    def drained(self) -> None:
        """Wait until everything in the log is stored."""
        ends = self.log_ends()
        eventually(lambda: self.progress() == ends, f"progress {self.progress()} to reach {ends}")

    def one(self, query: str, *parameters: object) -> Any:
        """Return the only value of a query."""
        row = self.session.execute(query, parameters).fetchone()
        assert row is not None
        return row[0]

    def written(self) -> int:
        """Return how many readings progress says were written."""
        return int(self.one("SELECT coalesce(sum(written), 0) FROM progress WHERE topic = %s", self.topic))

    def wait_written(self, count: int) -> None:
        """Wait until at least ``count`` readings are written."""
        eventually(lambda: self.written() >= count, f"{count} readings written")

    def assert_exactly(self, count: int) -> None:
        """Check that each of ``count`` readings is there once, and that every count adds up."""
        self.drained()
        row = self.session.execute(
            "SELECT count(*), count(DISTINCT (series_id, ts)) FROM readings"
        ).fetchone()
        dead_letters = self.one("SELECT count(*) FROM dead_letters")
        assert row == (count, count)
        assert (self.written(), dead_letters) == (count, 0)


@contextmanager
def ingest(dsn: str, directory: Path, partitions: int, config: dict[str, str]) -> Iterator[Ingest]:
    """Make a topic of its own for one test; the database starts empty."""
    settings = Settings()
    admin = AdminClient({"bootstrap.servers": settings.kafka})
    topic = f"test.{uuid4().hex[:10]}"
    # Some tests stamp records in the past, which Kafka would delete at its next look at retention.
    topic_config = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1", **config}
    told = [f"{topic}.dead-letters", f"{topic}.rollups", f"{topic}.anomalies"]
    made = [NewTopic(topic, partitions, 1, config=topic_config), *(NewTopic(name, 1, 1) for name in told)]
    for creation in admin.create_topics(made).values():
        creation.result(30)
    with ExitStack() as cleanup, psycopg.connect(dsn, autocommit=True) as session:
        session.execute(
            "TRUNCATE readings, dead_letters, progress, series, tenants, producers, producer_journal, "
            "reading_versions, outbox, halts, resumptions, dirty_buckets, late_readings, "
            "rollup_closed_1m, rollup_closed_15m, rollup_closed_1h, rollup_closed_1d, "
            "anomalies, detection, detector_states"
        )
        for name in (topic, *told):
            cleanup.callback(_delete_topic, admin, name)
        yield Ingest(topic, dsn, settings, directory, admin, session, cleanup)


def _delete_topic(admin: AdminClient, name: str) -> None:
    admin.delete_topics([name])[name].result(30)


def load(readings: int, encoding: Encoding = Encoding.BATCH, **changed: Any) -> Load:
    """Return a load of ``readings`` in batches of 100."""
    defaults: dict[str, Any] = {
        "readings": readings,
        "batch": 100,
        "producers": 16,
        "series": 1000,
        "start_us": 1_790_000_000_000_000,
        "interval_us": 1_000_000,
        "epoch": 1,
        "encoding": encoding,
    }
    return Load(**{**defaults, **changed})


MakeIngest = Callable[..., Ingest]


@pytest.fixture
def make_ingest(database: str, tmp_path: Path) -> Iterator[MakeIngest]:
    """Make an ingest with so many partitions and such a topic configuration (``_`` for ``.``)."""
    with ExitStack() as stack:

        def make(partitions: int = 4, **config: str) -> Ingest:
            named = {name.replace("_", "."): value for name, value in config.items()}
            return stack.enter_context(ingest(database, tmp_path, partitions, named))

        yield make
