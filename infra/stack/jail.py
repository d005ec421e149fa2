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
from dataclasses import dataclass
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
    """A root file system to run programs in; the directory ``data`` is ``/srv`` there.

    ``privileged`` says whether it is entered by the rights of root or by user namespaces.
    """

    root: Path
    data: Path
    privileged: bool

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

    def obstacle(self) -> str:
        """Return why this system does not let programs run inside; empty if it does."""
        trial = subprocess.run(
            self.command(["/bin/sh", "-c", ":"]), capture_output=True, text=True, check=False
        )
        return "" if trial.returncode == 0 else trial.stderr.strip() or f"exit code {trial.returncode}"


def open_jail(root: Path, data: Path) -> Jail:
    """Return the jail that this system allows: by the rights of root, else by user namespaces.

    Raises :class:`StackError` if it allows neither.
    """
    obstacles = []
    for privileged in (True, False) if is_root() else (False,):
        jail = Jail(root, data, privileged)
        obstacle = jail.obstacle()
        if not obstacle:
            return jail
        obstacles.append(f"{'mounting as root' if privileged else 'user namespaces'}: {obstacle}")
    raise StackError(
        f"this system does not let a program have its own root directory ({'; '.join(obstacles)})",
        hint="Allow unprivileged user namespaces, run as root, start a container engine, or set "
        "STREAMGAUGE_DATABASE_URL and STREAMGAUGE_REDIS_URL to services that you have.",
    )
