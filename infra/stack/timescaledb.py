"""PostgreSQL with TimescaleDB from Debian's packages, in their own root file system."""

from __future__ import annotations

import shutil
import signal

import psutil

from infra.stack.commands import run
from infra.stack.debian import POSTGRES_BIN, root_file_system
from infra.stack.jail import Jail, open_jail
from infra.stack.roles import ADMIN
from infra.stack.service import Launch, Say
from infra.stack.state import State, write_private

MIB = 1 << 20

# The built-in C.UTF-8 sorts the same under every version of the C library, so no upgrade spoils an index.
CLUSTER_OPTIONS = (
    "--pwfile=password",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--locale=C.UTF-8",
    "--data-checksums",
)

# Durability (fsync, full_page_writes, synchronous_commit) is left on: the local stack keeps promises too.
# TimescaleDB's own workers run policies, which this edition does not have; they would only fail in the log.
CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 100
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = 0
max_locks_per_transaction = 256
shared_buffers = {shared_buffers_mib}MB
effective_cache_size = {effective_cache_mib}MB
work_mem = 16MB
maintenance_work_mem = 128MB
max_wal_size = 4GB
min_wal_size = 512MB
wal_compression = lz4
checkpoint_timeout = 15min
random_page_cost = 1.1
jit = off
track_io_timing = on
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %a %u@%d '
log_checkpoints = off
"""


class TimescaleDb:
    """One Postgres on loopback TCP, with no Unix socket whose path could be too long."""

    name = "timescaledb"
    ports: tuple[str, ...] = ("timescaledb",)
    # Fast shutdown, then immediate shutdown, then none at all.
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)

    def __init__(self, state: State) -> None:
        self.state = state
        self.data = state.data(self.name)

    def prepare(self, say: Say) -> Launch:
        """Make the root file system and the database cluster, where missing."""
        self.data.mkdir(exist_ok=True)
        jail = open_jail(root_file_system(say, self.state.log("debian")), self.data)
        if not (self.data / "cluster").is_dir():
            say("creating the database cluster")
            self._create_cluster(jail)
        # Nobody uses the cluster, or this process's lock were held; but the pid in here may be somebody's.
        (self.data / "cluster/postmaster.pid").unlink(missing_ok=True)
        (self.data / "cluster/postgresql.conf").write_text(
            configuration(self.state.ports["timescaledb"], psutil.virtual_memory().total)
        )
        return Launch(jail.command([f"{POSTGRES_BIN}/postgres", "-D", "/srv/cluster"]), self.data)

    def _create_cluster(self, jail: Jail) -> None:
        shutil.rmtree(self.data / "draft", ignore_errors=True)
        password = self.data / "password"
        write_private(password, self.state.secret(ADMIN))
        jail.own(self.data, password)
        initdb = [f"{POSTGRES_BIN}/initdb", "--pgdata=draft", f"--username={ADMIN}", *CLUSTER_OPTIONS]
        run(jail.command(initdb), self.state.log("initdb"), cwd=self.data)
        password.unlink()
        (self.data / "draft").rename(self.data / "cluster")


def configuration(port: int, memory_bytes: int) -> str:
    """Return ``postgresql.conf`` for a machine with that much memory."""
    memory_mib = memory_bytes // MIB
    return CONFIGURATION.format(
        port=port,
        shared_buffers_mib=min(max(memory_mib // 4, 128), 1024),
        effective_cache_mib=max(memory_mib // 2, 256),
    )
