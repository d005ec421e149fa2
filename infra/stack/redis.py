"""Redis from Debian's packages, for what may be lost: bounded memory, nothing on disk."""

from __future__ import annotations

import signal

from infra.stack.debian import root_file_system
from infra.stack.jail import open_jail
from infra.stack.service import Launch, Say
from infra.stack.state import State, write_private

CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
maxmemory 256mb
maxmemory-policy allkeys-lru
save ""
appendonly no
daemonize no
dir /srv
"""


class Redis:
    """One Redis on loopback."""

    name = "redis"
    ports: tuple[str, ...] = ("redis",)
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self, state: State) -> None:
        self.state = state
        self.data = state.data(self.name)

    def prepare(self, say: Say) -> Launch:
        """Make the root file system, where missing."""
        self.data.mkdir(exist_ok=True)
        jail = open_jail(root_file_system(say, self.state.log("debian")), self.data)
        write_private(
            self.data / "redis.conf",
            CONFIGURATION.format(port=self.state.ports["redis"], password=self.state.secret("redis")),
        )
        jail.own(self.data, self.data / "redis.conf")
        return Launch(jail.command(["/usr/bin/redis-server", "/srv/redis.conf"]), self.data)
