"""A stack of its own, in a directory with a space in its name, beside the one that other tests use."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra.stack.process import ServiceProcess

SERVICES = ("kafka", "timescaledb", "redis")
PATIENCE_S = 30.0


class Checkout:
    """The stack of another checkout, worked by the command line as its user would."""

    def __init__(self, state: Path) -> None:
        self.state = state
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
        self._environment = {**kept, "STREAMGAUGE_STACK": "native", "STREAMGAUGE_STATE_DIR": str(state)}

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``streamgauge stack`` with these arguments."""
        return subprocess.run(
            [sys.executable, "-m", "jobs.cli", "stack", *arguments],
            env=self._environment | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def up(self, **environment: str) -> dict[str, Any]:
        """Bring it up and return the addresses."""
        done = self.run("up", **environment)
        assert done.returncode == 0, done.stderr
        return self.addresses()

    def addresses(self) -> dict[str, Any]:
        """Return the addresses that programs of this checkout find."""
        found: dict[str, Any] = json.loads((self.state / "stack.json").read_text())["env"]
        return found

    def states(self) -> dict[str, str]:
        """Return what each service is at."""
        return {one["service"]: one["state"] for one in json.loads(self.run("status", "--json").stdout)}

    def pids(self) -> dict[str, int | None]:
        """Return the process of each service."""
        return {name: self.process(name).pid() for name in SERVICES}

    def process(self, service: str) -> ServiceProcess:
        """Return the process of one service."""
        return ServiceProcess(self.state / "run" / f"{service}.pid")

    def port(self, service: str) -> int:
        """Return the port that a service has now."""
        ports: dict[str, int] = json.loads((self.state / "stack.json").read_text())["ports"]
        return ports[service]

    def kill(self, *services: str) -> None:
        """End services as a power cut would."""
        for service in services:
            os.kill(self.process(service).pid() or 0, signal.SIGKILL)
            assert self.process(service).ends_within(PATIENCE_S)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    checkout = Checkout(tmp_path_factory.mktemp("a checkout") / ".streamgauge")
    checkout.up()
    yield checkout
    assert checkout.run("destroy", "--yes").returncode == 0


@pytest.fixture(autouse=True)
def _running(checkout: Checkout) -> None:
    if None in checkout.pids().values():
        checkout.up()


def test_every_service_serves_and_says_where(checkout: Checkout) -> None:
    addresses = checkout.addresses()
    assert set(addresses) == {"kafka", "database_url", "writer_url", "reader_url", "redis_url"}
    assert json.loads(checkout.run("env", "--json").stdout) == addresses
    assert checkout.states() == dict.fromkeys(SERVICES, "serving")


def test_the_owner_may_make_databases_and_has_the_extension(checkout: Checkout) -> None:
    addresses = checkout.addresses()
    with psycopg.connect(addresses["database_url"], autocommit=True) as owner:
        owner.execute("CREATE TABLE measured (ts timestamptz NOT NULL)")
        owner.execute("SELECT create_hypertable('measured', 'ts')")
        owner.execute("CREATE DATABASE another")
        owner.execute("DROP DATABASE another")
        owner.execute("DROP TABLE measured")
        powers = owner.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    assert powers == (False,)
    for role in ("writer", "reader"):
        with psycopg.connect(addresses[f"{role}_url"]) as session:
            assert session.execute("SELECT current_user").fetchone() == (f"streamgauge_{role}",)


def test_nobody_else_may_read_data_or_passwords(checkout: Checkout) -> None:
    assert stat.S_IMODE(checkout.state.stat().st_mode) == 0o700
    assert stat.S_IMODE((checkout.state / "stack.json").stat().st_mode) == 0o600


def test_services_are_not_root_and_see_another_root(checkout: Checkout) -> None:
    for service in ("timescaledb", "redis"):
        pid = checkout.pids()[service]
        assert Path(f"/proc/{pid}/root").stat().st_ino != Path("/").stat().st_ino
        assert Path(f"/proc/{pid}").stat().st_uid != 0


def test_up_again_changes_nothing(checkout: Checkout) -> None:
    before = checkout.pids()
    checkout.up()
    assert checkout.pids() == before


def test_env_prints_what_a_shell_understands(checkout: Checkout) -> None:
    exports = checkout.run("env").stdout
    shell = subprocess.run(
        ["sh", "-c", f'{exports}\nprintf %s "$STREAMGAUGE_DATABASE_URL"'],
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == checkout.addresses()["database_url"]


def test_a_shell_with_the_stacks_own_exports_still_works_it(checkout: Checkout) -> None:
    exports = {f"STREAMGAUGE_{name.upper()}": value for name, value in checkout.addresses().items()}
    before = checkout.pids()
    assert checkout.up(**exports) == checkout.addresses()
    assert checkout.pids() == before


def test_logs_are_shown(checkout: Checkout) -> None:
    assert "Kafka Server started" in checkout.run("logs", "kafka").stdout
    assert "ready to accept connections" in checkout.run("logs", "timescaledb", "-n", "100").stdout
    assert checkout.run("logs", "nosuch").returncode == 1


def test_everything_killed_comes_back_with_its_data(checkout: Checkout) -> None:
    addresses = checkout.addresses()
    produce(addresses["kafka"], "kept", b"record")
    with psycopg.connect(addresses["database_url"]) as database:
        database.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    checkout.kill(*SERVICES)
    assert checkout.states() == dict.fromkeys(SERVICES, "stopped")

    assert checkout.up() == addresses
    assert consume_one(addresses["kafka"], "kept") == b"record"
    with psycopg.connect(addresses["database_url"]) as database:
        assert database.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_busy_backend_of_a_killed_server_does_not_meet_the_next_one(checkout: Checkout) -> None:
    url = checkout.addresses()["database_url"]
    with closing(psycopg.connect(url)) as session:
        backend = session.info.backend_pid
        # A query that never waits never notices that its server is gone.
        session.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 10000000000) WHERE random() > 2")
        with closing(psycopg.connect(url, autocommit=True)) as other:
            busy = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
            while other.execute(busy, [backend]).fetchone() is None:
                pass
        os.kill(checkout.process("timescaledb").pid() or 0, signal.SIGKILL)
        assert Path(f"/proc/{backend}/fd/0").samefile(checkout.state / "run" / "timescaledb.pid")
        checkout.up()
    with psycopg.connect(checkout.addresses()["database_url"]) as fresh:
        assert fresh.execute("SELECT 1").fetchone() == (1,)
    assert checkout.process("timescaledb").pid() is not None


def test_a_port_taken_meanwhile_is_replaced(checkout: Checkout) -> None:
    checkout.kill("redis")
    taken = checkout.port("redis")
    with socket.create_server(("127.0.0.1", taken)):
        address = checkout.up()["redis_url"]
    assert checkout.port("redis") != taken
    assert f":{checkout.port('redis')}/" in address


def test_a_pid_file_that_names_a_bystander_harms_nobody(checkout: Checkout) -> None:
    checkout.kill("redis")
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        (checkout.state / "run" / "redis.pid").write_text(f"{bystander.pid}\n")
        assert checkout.states()["redis"] == "stopped"
        checkout.run("down")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_down_leaves_neither_process_nor_mount_and_keeps_the_data(checkout: Checkout) -> None:
    before = checkout.addresses()
    done = checkout.run("down")
    assert done.returncode == 0, done.stderr
    assert checkout.states() == dict.fromkeys(SERVICES, "stopped")
    assert str(checkout.state) not in Path("/proc/self/mountinfo").read_text()
    assert checkout.addresses() == {}
    assert checkout.run("status").returncode == 1
    assert checkout.up() == before


def test_a_service_that_cannot_start_is_explained(checkout: Checkout) -> None:
    checkout.run("down")
    identity = checkout.state / "data" / "timescaledb" / "cluster" / "PG_VERSION"
    try:
        identity.write_text("9.6\n")
        done = checkout.run("up")
    finally:
        identity.write_text("17\n")
    assert done.returncode == 1
    assert "timescaledb: it ended before it served" in done.stderr
    assert "incompatible" in done.stderr
    assert str(checkout.state / "logs" / "timescaledb.log") in done.stderr
    assert "Traceback" not in done.stderr
    assert checkout.states()["kafka"] == "serving"


def test_destroy_asks_and_without_an_answer_removes_nothing(checkout: Checkout) -> None:
    assert checkout.run("destroy").returncode == 1
    assert checkout.states() == dict.fromkeys(SERVICES, "serving")


def test_destroy_removes_data_and_passwords_and_up_starts_afresh(checkout: Checkout) -> None:
    before = checkout.addresses()
    assert checkout.run("destroy", "--yes").returncode == 0
    assert not (checkout.state / "data").exists()
    assert not (checkout.state / "stack.json").exists()
    assert checkout.up()["database_url"] != before["database_url"]


def produce(bootstrap: str, topic: str, value: bytes) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(PATIENCE_S)
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, value)
    assert producer.flush(PATIENCE_S) == 0


def consume_one(bootstrap: str, topic: str) -> bytes | None:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "test"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(PATIENCE_S)
        return message.value() if message else None
    finally:
        consumer.close()
