"""What a run was measured on: without it no figure means anything."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import psycopg
from confluent_kafka import libversion

from infra.stack import kafka
from streams.core.detect import lookout_kernel
from streams.core.wire import json_kernel
from streams.settings import PROJECT_ROOT, Settings

PACKAGES = ("streamgauge", "faust-streaming", "aiokafka", "numpy", "psycopg", "orjson", "fastavro")
SETTINGS = ("flush_rows", "flush_ms", "memory_mb", "session_timeout_s")
SERVER_SETTINGS = ("shared_buffers", "fsync", "synchronous_commit", "max_wal_size", "wal_compression")
LOOK_FOR_S = 1.0


def describe() -> dict[str, Any]:
    """Return machine, versions and settings. Takes a second, to see what else the machine does."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "system": platform.platform(),
        "busy_cores_before": round(psutil.cpu_percent(LOOK_FOR_S) / 100 * (os.cpu_count() or 1), 2),
        "python": platform.python_version(),
        "commit": _commit(),
        "packages": {name: version(name) for name in PACKAGES} | {"librdkafka": libversion()[0]},
        "json": json_kernel.LOADED.state,
        "detection": lookout_kernel.LOADED.state,
        "kafka": kafka.VERSION,
        "database": _database(),
        "settings": {name: getattr(Settings(), name) for name in SETTINGS},
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _commit() -> str:
    """Return the commit that is measured, marked where files differ from it; empty outside of a checkout."""
    command = ["git", "-C", str(PROJECT_ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _database() -> dict[str, str]:
    """Return the server's versions and settings; nothing where it is away, which some verbs do without."""
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(Settings().owner_dsn, autocommit=True) as session,
    ):
        extension = session.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
        found = {"timescaledb": extension.fetchone()}
        for name in ("server_version", "timescaledb.license", *SERVER_SETTINGS):
            found[name] = session.execute("SELECT current_setting(%s, true)", (name,)).fetchone()
        return {name: row[0] for name, row in found.items() if row is not None and row[0] is not None}
    return {}
