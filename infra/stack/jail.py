"""Run programs of another root file system, unprivileged, and leave no mounts behind.

Every step of the command line is an ``exec``, so the process that is started becomes the service,
and the mounts live in a namespace that ends with it. Root gives its rights up for a user id that
is nobody's; an ordinary user gets a user namespace to mount in, and inside it a second one,
because Postgres refuses to run as what looks like root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.stack.commands import require
from infra.stack.errors import StackError

ENTER = Path(__file__).with_name("enter.sh")

# The last of the ids that Debian gives to people, so that it is nobody's.
SERVICE_ID = 59_999


def is_root() -> bool:
    """Tell whether this process has the rights of root."""
    return os.geteuid() == 0


@dataclass(frozen=True)
class Jail:
    """A root file system to run programs in; the directory ``data`` is ``/srv`` there."""

    root: Path
    data: Path
    privileged: bool = field(default_factory=is_root)

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs ``argv`` inside, in ``/srv``."""
        unshare = require("unshare", "util-linux")
        rights = [] if self.privileged else ["--user", "--map-root-user"]
        user, group = ("--setuid", "--setgid") if self.privileged else ("--map-user", "--map-group")
        return [
            *(unshare, *rights, "--mount", "--propagation=private", "--"),
            *("/bin/sh", str(ENTER), str(self.root), str(self.data)),
            *(
                unshare,
                f"{user}={SERVICE_ID}",
                f"{group}={SERVICE_ID}",
                f"--root={self.root}",
                "--wd=/srv",
                "--",
            ),
            *argv,
        ]

    def own(self, *paths: Path) -> None:
        """Give files or directories to the user that programs run as inside."""
        if self.privileged:
            for path in paths:
                os.chown(path, SERVICE_ID, SERVICE_ID)

    def check(self) -> None:
        """Raise :class:`StackError` with what to do if the system does not allow this."""
        trial = subprocess.run(
            self.command(["/bin/sh", "-c", ":"]), capture_output=True, text=True, check=False
        )
        if trial.returncode == 0:
            return
        need = "to mount (CAP_SYS_ADMIN)" if self.privileged else "unprivileged user namespaces"
        raise StackError(
            f"this system does not allow {need}: {trial.stderr.strip()}",
            hint="Allow it, start a container engine, or set STREAMGAUGE_DATABASE_URL and "
            "STREAMGAUGE_REDIS_URL to services that you have.",
        )
