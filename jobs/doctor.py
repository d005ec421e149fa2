"""What ``streamgauge doctor`` looks at: each check tells what it found and what to do about it."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
import redis
from confluent_kafka import KafkaException, libversion
from confluent_kafka.admin import AdminClient

from infra.stack.kafka import VERSION
from infra.stack.readiness import kafka_answers
from infra.stack.state import State
from jobs.topics import Action, TopicAdmin, plan, wanted_topics
from sinks.timescale.levels import levels_lacking
from sinks.timescale.migrate import pending
from sinks.timescale.outbox import read_state
from streams.core.detect import lookout_kernel
from streams.core.wire import json_kernel
from streams.errors import UserError
from streams.settings import Settings, state_dir

TIMEOUT_S = 5
CLOCK_TOLERANCE_S = 1.0
LOW_DISK_BYTES = 5 << 30
LOOPBACK = {"127.0.0.1", "localhost", "::1", "[::1]"}
START = "Start the local stack: streamgauge stack up"

_HALTS = """
    SELECT topic, partition, reason, to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI UTC')
    FROM public.halts ORDER BY topic, partition
"""

EDITIONS = {
    "timescale": "Community edition: `streamgauge retention run` has it compress old chunks",
    "apache": "Apache edition: no compression, and nothing here depends on it",
}


@dataclass(frozen=True)
class Finding:
    """What one check found.

    ``level`` is ``ok``, ``warning`` (works, but should not stay so) or ``problem``; ``advice`` says
    what to do about the latter two.
    """

    subject: str
    level: str
    detail: str
    advice: str = ""


def ok(subject: str, detail: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(subject, "ok", detail)


def examine(settings: Settings) -> Iterator[Finding]:
    """Yield what each check finds, as it finds it. A check that cannot be made is a problem."""
    for subject, check in CHECKS.items():
        try:
            yield from check(settings)
        except UserError as error:
            yield Finding(subject, "problem", str(error), error.hint or START)
        except (KafkaException, psycopg.Error, redis.RedisError, OSError) as error:
            yield Finding(subject, "problem", _first_line(error), START)


def programs(_settings: Settings) -> Iterator[Finding]:
    """Which versions run."""
    yield ok("python", platform.python_version())
    packages = ("streamgauge", "faust-streaming", "aiokafka", "psycopg", "numpy")
    yield ok("packages", ", ".join(f"{name} {version(name)}" for name in packages))
    yield ok("librdkafka", libversion()[0])
    yield ok("json", json_kernel.LOADED.state)
    yield ok("detection", lookout_kernel.LOADED.state)


def kafka(settings: Settings) -> Iterator[Finding]:
    """Whether the broker answers."""
    kafka_answers(settings.kafka)
    admin = _admin(settings)
    cluster = admin.describe_cluster(request_timeout=TIMEOUT_S).result(TIMEOUT_S)
    brokers = f"{len(cluster.nodes)} broker" + ("s" if len(cluster.nodes) != 1 else "")
    # A broker does not tell its version; the one that this stack started is known.
    ours = State(state_dir()).env.get("kafka") == settings.kafka
    program = f"Kafka {VERSION}" if ours else "Kafka"
    yield ok("kafka", f"{settings.kafka}: {program}, {brokers}, cluster {cluster.cluster_id}")


def topics(settings: Settings) -> Iterator[Finding]:
    """Whether the topics are as they are declared."""
    wanted = wanted_topics(settings)
    changes = plan(wanted, TopicAdmin(settings.kafka).find([topic.name for topic in wanted]))
    missing = [change.topic for change in changes if change.action is Action.CREATE]
    differing = [change for change in changes if change.action in (Action.RAISE, Action.SET)]
    advice = "Run: streamgauge topics apply"
    if missing:
        yield Finding("topics", "problem", f"missing: {', '.join(missing)}", advice)
    for change in differing:
        detail = f"{change.topic}: {change.what} is {change.current}, declared is {change.wanted}"
        yield Finding("topics", "warning", detail, advice)
    if not missing and not differing:
        yield ok("topics", f"{len(wanted)}, as declared")


def database(settings: Settings) -> Iterator[Finding]:
    """Versions, edition, and whether what is committed stays committed."""
    with psycopg.connect(settings.owner_dsn, connect_timeout=TIMEOUT_S) as connection:
        yield ok(
            "postgres", f"{_where(settings.owner_dsn)}: PostgreSQL {_show(connection, 'server_version')}"
        )
        extension = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
        found = extension.fetchone()
        if found is None:
            yield Finding("timescaledb", "problem", "the extension is missing", "Run: streamgauge migrate")
        else:
            edition = _show(connection, "timescaledb.license")
            yield ok("timescaledb", f"{found[0]}, {EDITIONS.get(edition, edition)}")
        off = [name for name in ("fsync", "full_page_writes") if _show(connection, name) == "off"]
        if off:
            advice = "Turn it on in postgresql.conf, or accept that a crash may lose what was committed"
            yield Finding("durability", "problem", f"{', '.join(off)} is off", advice)


def roles(settings: Settings) -> Iterator[Finding]:
    """Whether workers and analysts can log in."""
    for role, dsn in (("writer", settings.writer_dsn), ("reader", settings.reader_dsn)):
        with psycopg.connect(dsn, connect_timeout=TIMEOUT_S) as connection:
            user = connection.execute("SELECT current_user").fetchone()
        yield ok(f"{role} role", f"logs in as {user[0] if user else '?'}")


def migrations(settings: Settings) -> Iterator[Finding]:
    """Whether the database has the schema of this program."""
    missing = pending(settings.owner_dsn)
    if missing:
        yield Finding("migrations", "problem", f"missing: {', '.join(missing)}", "Run: streamgauge migrate")
    elif levels := levels_lacking(settings.owner_dsn, settings.rollup_widths_us):
        yield Finding("migrations", "problem", levels, "Run: streamgauge migrate")
    else:
        yield ok("migrations", "the database is up to date")


def outbox(settings: Settings) -> Iterator[Finding]:
    """Whether what is to be sent to Kafka is sent."""
    with psycopg.connect(settings.owner_dsn, connect_timeout=TIMEOUT_S) as connection:
        if connection.execute("SELECT to_regclass('outbox_state')").fetchone() == (None,):
            return  # the database is to be migrated first
        state = read_state(connection)
    advice = "See 'The outbox grows' in docs/runbook.md"
    for trouble in state.trouble(settings.outbox_warn_s):
        yield Finding("outbox", "problem" if state.refused else "warning", trouble, advice)
    if not state.trouble(settings.outbox_warn_s):
        yield ok("outbox", f"{state.waiting} messages wait")


def halts(settings: Settings) -> Iterator[Finding]:
    """Whether every partition is read."""
    with psycopg.connect(settings.owner_dsn, connect_timeout=TIMEOUT_S) as connection:
        if connection.execute("SELECT to_regclass('public.halts')").fetchone() == (None,):
            return  # the check of migrations has said it
        found = connection.execute(_HALTS).fetchall()
    for topic, number, reason, since in found:
        what, _, command = reason.rpartition(": ")
        yield Finding("partitions", "problem", f"{topic}/{number}, since {since}: {what}", f"Run: {command}")
    if not found:
        yield ok("partitions", "none is halted")


def cache(settings: Settings) -> Iterator[Finding]:
    """Whether Redis answers and bounds its memory."""
    url = settings.redis_url.get_secret_value()
    client = redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
    try:
        server: dict[str, Any] = client.info()
    finally:
        client.close()
    detail = f"{_where(url)}: Redis {server['redis_version']}"
    if int(server.get("maxmemory", 0)) == 0:
        yield Finding("redis", "warning", f"{detail}, unbounded memory", "Set maxmemory and maxmemory-policy")
    else:
        bound = f"{int(server['maxmemory']) >> 20} MiB, {server['maxmemory_policy']}"
        yield ok("redis", f"{detail}, at most {bound}")


def clock(settings: Settings) -> Iterator[Finding]:
    """Whether this machine and the database agree on the time."""
    with psycopg.connect(settings.owner_dsn, connect_timeout=TIMEOUT_S) as connection:
        before_s = time.time()
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
        after_s = time.time()
    ahead_s = (before_s + after_s) / 2 - float(row[0] if row else 0)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if abs(ahead_s) > CLOCK_TOLERANCE_S:
        advice = "Synchronise both machines' clocks (NTP): event times come from producers' clocks"
        yield Finding("clock", "warning", f"{now}, {ahead_s:+.1f} s ahead of the database", advice)
    else:
        yield ok("clock", f"{now}, within {CLOCK_TOLERANCE_S:.0f} s of the database")


def disk(_settings: Settings) -> Iterator[Finding]:
    """Whether there is room where the local stack keeps its data."""
    directory = next(path for path in (state_dir(), *state_dir().parents) if path.exists())
    usage = shutil.disk_usage(directory)
    detail = f"{usage.free / 2**30:.0f} of {usage.total / 2**30:.0f} GiB free at {directory}"
    if usage.free < LOW_DISK_BYTES:
        advice = "Free some space; streamgauge stack destroy removes the local stack's data"
        yield Finding("disk", "warning", detail, advice)
    else:
        yield ok("disk", detail)


def listeners(settings: Settings) -> Iterator[Finding]:
    """Which process of this machine listens on each port that the settings name."""
    wanted = {
        "kafka": settings.kafka.split(",")[0],
        "timescaledb": _where(settings.owner_dsn),
        "redis": _where(settings.redis_url.get_secret_value()),
    }
    listening = _listening()
    for name, address in wanted.items():
        host, _, port = address.rpartition(":")
        owner = listening.get(int(port), "no process of this user") if host in LOOPBACK else "another machine"
        yield ok(f"listens: {name}", f"{address}: {owner}")


def _listening() -> dict[int, str]:
    connections = psutil.net_connections(kind="tcp")
    found = [one for one in connections if one.status == psutil.CONN_LISTEN and one.pid]
    return {getattr(one.laddr, "port", 0): _process(one.pid) for one in found if one.pid}


def _process(pid: int) -> str:
    try:
        return f"pid {pid}, {psutil.Process(pid).name()}"
    except psutil.Error:
        return f"pid {pid}"


def _admin(settings: Settings) -> AdminClient:
    options: dict[str, Any] = {"bootstrap.servers": settings.kafka, "log_level": 0}
    return AdminClient(options | {"error_cb": lambda _error: None, "socket.timeout.ms": TIMEOUT_S * 1000})


def _show(connection: psycopg.Connection[Any], setting: str) -> str:
    row = connection.execute("SELECT current_setting(%s, true)", [setting]).fetchone()
    return str(row[0]) if row else ""


def _where(url: str) -> str:
    parts = urlsplit(url)
    default = {"redis": 6379, "rediss": 6379}.get(parts.scheme, 5432)
    return f"{parts.hostname or 'localhost'}:{parts.port or default}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


CHECKS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "programs": programs,
    "disk": disk,
    "kafka": kafka,
    "topics": topics,
    "postgres": database,
    "roles": roles,
    "migrations": migrations,
    "outbox": outbox,
    "partitions": halts,
    "clock": clock,
    "redis": cache,
    "listeners": listeners,
}
