"""One run: a topic and a database of its own, workers between them, and producers with ledgers."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sinks.timescale.migrate import migrate
from tests.chaos.load import Load
from tests.chaos.sender import Sender
from tests.chaos.stack import PrivateStack
from tests.chaos.watch import Watch
from tests.chaos.workers import Crew
from tests.relay import Relay
from tests.waiting import PATIENCE_S, eventually

PARTITIONS = 4
SESSION_S = 6.0
TEMPLATE = "chaos_template"


class Run:
    """What faults work on. ``long`` asks for the full length of what is cut short otherwise."""

    def __init__(
        self, stack: PrivateStack, seed: int, directory: Path, mutant: str = "", *, long: bool = False
    ) -> None:
        self.stack = stack
        self.seed = seed
        self.directory = directory
        self.long = long
        self.settings = stack.settings
        self.topic = self.database = f"chaos_{uuid4().hex[:10]}"
        self.dsn = make_conninfo(self.settings.owner_dsn, dbname=self.database)
        self.senders: list[Sender] = []
        self.remarks: list[str] = []
        self.figures: dict[str, float] = {}
        self.found: dict[str, int] = {}
        self._mutant = mutant
        self._cleanup = ExitStack()
        self._last = ExitStack()
        self._ledgers = itertools.count()

    def __enter__(self) -> Run:
        with self._cleanup:
            self._open()
            self._cleanup = self._cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _open(self) -> None:
        self.ledgers.mkdir(parents=True)
        self._cleanup.push(self._last)
        self._make_database()
        self.admin = AdminClient({"bootstrap.servers": self.settings.kafka, "log_level": 0})
        self.make_topic(self.topic, PARTITIONS)
        told = self.letters_topic, self.rollups_topic, self.anomalies_topic
        for name in told:
            self.make_topic(name, 1)
        self._cleanup.callback(lambda: self.delete_topics(self.topic, *told))
        self._log = Consumer(
            {"bootstrap.servers": self.settings.kafka, "group.id": f"{self.topic}-ends", "log_level": 0}
        )
        self._cleanup.callback(self._log.close)
        self.relay = self._cleanup.enter_context(
            Relay("127.0.0.1", int(self.settings.owner_dsn.rpartition(":")[2].partition("/")[0]))
        )
        self.watch = self._cleanup.enter_context(Watch(self.dsn, self.topic))
        self._session = self._cleanup.enter_context(closing(self.connect()))

    def _make_database(self) -> None:
        # A copy of a migrated database is made ten times as fast as migrating another one.
        with psycopg.connect(self.settings.owner_dsn, autocommit=True) as server:
            known = "SELECT FROM pg_database WHERE datname = %s"
            if server.execute(known, (TEMPLATE,)).fetchone() is None:
                server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
                migrate(make_conninfo(self.settings.owner_dsn, dbname=TEMPLATE))
            names = sql.Identifier(self.database), sql.Identifier(TEMPLATE)
            server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
        self._cleanup.callback(self._drop_database)

    def _drop_database(self) -> None:
        with self.administer("postgres") as server:
            server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.database)))

    @property
    def letters_topic(self) -> str:
        """Where workers tell of dead letters."""
        return f"{self.topic}.dead-letters"

    @property
    def rollups_topic(self) -> str:
        """Where workers tell of closed buckets."""
        return f"{self.topic}.rollups"

    @property
    def anomalies_topic(self) -> str:
        """Where workers tell of episodes."""
        return f"{self.topic}.anomalies"

    def make_topic(self, name: str, partitions: int) -> None:
        """Create a topic."""
        config = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": "3000000"}
        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(30)

    def delete_topics(self, *names: str) -> None:
        """Delete topics."""
        for deletion in self.admin.delete_topics(list(names)).values():
            deletion.result(30)

    @property
    def ledgers(self) -> Path:
        """Directory of the producers' ledgers."""
        return self.directory / "ledgers"

    def hire(self, settings: Mapping[str, str], *, by_relay: bool) -> None:
        """Make a crew with these settings, whose database connections may go through :attr:`relay`."""
        where = {"host": "127.0.0.1", "port": str(self.relay.port)} if by_relay else {}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
        environment = {
            **kept,
            "STREAMGAUGE_STATE_DIR": str(self.directory),
            "STREAMGAUGE_KAFKA": self.settings.kafka,
            "STREAMGAUGE_DATABASE_URL": make_conninfo(self.dsn, **where),
            "STREAMGAUGE_WRITER_URL": make_conninfo(self.settings.writer_dsn, dbname=self.database, **where),
            "STREAMGAUGE_REDIS_URL": self.settings.redis_url.get_secret_value(),
            "STREAMGAUGE_READINGS_TOPIC": self.topic,
            "STREAMGAUGE_DEAD_LETTERS_TOPIC": self.letters_topic,
            "STREAMGAUGE_ROLLUPS_TOPIC": self.rollups_topic,
            "STREAMGAUGE_ANOMALIES_TOPIC": self.anomalies_topic,
            "STREAMGAUGE_DETECT": "true",
            "STREAMGAUGE_GROUP": self.topic,
            "STREAMGAUGE_SESSION_TIMEOUT_S": str(SESSION_S),
            "STREAMGAUGE_LOG_FORMAT": "human",
            **settings,
        }
        self.crew = self._cleanup.enter_context(
            Crew(environment, self.directory, self._mutant, died=lambda _worker: self.watch.mark())
        )

    def start_load(self) -> None:
        """Let the producers begin."""
        self.load = Load(self.seed, self.sender, PARTITIONS)
        self.load.start()

    def sender(self, name: str) -> Sender:
        """Return a producer with a ledger of its own."""
        path = self.ledgers / f"{name}-{next(self._ledgers)}.jsonl"
        sender = Sender(self.settings.kafka, self.topic, path, self.watch.note)
        self.senders.append(sender)
        return sender

    def connect(self) -> psycopg.Connection[Any]:
        """Connect to the run's database as its owner."""
        return psycopg.connect(self.dsn, autocommit=True, connect_timeout=5)

    def administer(self, database: str = "") -> psycopg.Connection[Any]:
        """Connect to a database, by default the run's, as the administrator of the server."""
        dsn = self.stack.admin_dsn(database or self.database)
        return psycopg.connect(dsn, autocommit=True, connect_timeout=5)

    def when_database_is_gone(self, deed: Callable[[], None]) -> None:
        """Do something at the end, after the run's database was dropped."""
        self._last.callback(deed)

    def ask(self, query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query, asked by a session that is opened again where it was lost."""
        try:
            return self._session.execute(query, parameters).fetchall()
        except psycopg.OperationalError:
            self._session = self._cleanup.enter_context(closing(self.connect()))
            return self._session.execute(query, parameters).fetchall()

    def stored(self, partition: int) -> int:
        """Return the stored next offset of a partition that was claimed."""
        ((offset,),) = self.ask("SELECT next_offset FROM progress WHERE partition = %s", partition)
        return int(offset)

    def halts(self) -> dict[int, str]:
        """Return why partitions are halted."""
        return dict(self.ask("SELECT partition, kind FROM halts"))

    def told(self, topic: str) -> set[str]:
        """Return the ids of all that was told on a topic."""
        told: set[str] = set()
        partition = TopicPartition(topic, 0, 0)
        end = self._log.get_watermark_offsets(partition, timeout=10)[1]
        if end == 0:
            return told
        self._log.assign([partition])
        at = 0
        while at < end:
            for message in self._log.consume(1000, 0.1):
                at = int(message.offset() or 0) + 1
                headers: Any = message.headers()
                told |= {value.decode() for name, value in headers if name == "event_id"}
        return told

    def log_ends(self) -> dict[int, int]:
        """Return the end of each partition's log."""
        numbers = self._log.list_topics(self.topic, timeout=10).topics[self.topic].partitions
        return {
            number: self._log.get_watermark_offsets(TopicPartition(self.topic, number), timeout=10)[1]
            for number in numbers
        }

    def drain(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until all that is in the log is stored, and all that was forwarded came home."""
        eventually(self._drained, f"what is stored, {self.watch.stored}, to reach the log's end", patience_s)

    def roll_up(self) -> None:
        """Wait until what came late to closed buckets is in the rollups: nothing excuses them then."""
        eventually(self._rolled_up, "what came late to be in the rollups")

    def _rolled_up(self) -> bool:
        return self.ask("SELECT waiting FROM rollup_state") == [(0,)]

    def _drained(self) -> bool:
        if not self.watch.all_stored():
            return False  # known without a question to Kafka
        ends = self.log_ends()
        if {number: self.watch.stored.get(number, 0) for number in ends} != ends:
            return False
        return self.ask("SELECT count(*) FROM outbox") == [(0,)] and self.log_ends() == ends
