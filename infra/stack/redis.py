"""Redis from Debian's packages, for what may be lost: bounded memory, nothing on disk."""

from __future__ import annotations

import signal

from infra.stack.debian import root_file_system
from infra.stack.jail import Jail
from infra.stack.readiness import redis_answers
from infra.stack.service import Launch, Say
from infra.stack.state import State

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
    ports = ("redis",)
    stop_signals = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self, state: State) -> None:
        self.state = state
        self.data = state.data(self.name)

    def prepare(self, say: Say) -> None:
        """Make the root file system, where missing."""
        self.jail = Jail(root_file_system(say, self.state.log("debian")), self.data)
        self.jail.check()
        self.jail.own(self.data)

    def launch(self) -> Launch:
        """Return how to start it on the port chosen in the state."""
        file = self.data / "redis.conf"
        file.touch(mode=0o600)
        file.write_text(
            CONFIGURATION.format(port=self.state.ports["redis"], password=self.state.secret("redis"))
        )
        self.jail.own(file)
        return Launch(self.jail.command(["/usr/bin/redis-server", "/srv/redis.conf"]), self.data)

    def ready(self) -> None:
        """Ping."""
        redis_answers(self.addresses()["redis_url"])

    def addresses(self) -> dict[str, str]:
        """Return the URL of database 0."""
        port, password = self.state.ports["redis"], self.state.secret("redis")
        return {"redis_url": f"redis://:{password}@127.0.0.1:{port}/0"}
