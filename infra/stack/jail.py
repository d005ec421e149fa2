"""Run programs of another root file system, without privileges and without leaving mounts behind.

Every step of the command line is an ``exec``, so the process that is started becomes the service,
and the mounts live in a namespace that ends with it. Root gives up its privileges for an
unprivileged user id; an ordinary user gets a user namespace to mount in, and inside it another
one, because Postgres refuses to run as what looks like root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.stack.commands import require
from infra.stack.debian import SERVICE_ID
from infra.stack.errors import StackError

ENTER = Path(__file__).with_name("enter.sh")


@dataclass(frozen=True)
class Jail:
    """A root file system to run programs in; ``/srv`` in it is the data directory."""

    root: Path
    data: Path
    privileged: bool = os.geteuid() == 0

    def command(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs ``argv`` inside."""
        namespaces = [] if self.privileged else ["--user", "--map-root-user"]
        identity = (
            [f"--setuid={SERVICE_ID}", f"--setgid={SERVICE_ID}"]
            if self.privileged
            else [f"--map-user={SERVICE_ID}", f"--map-group={SERVICE_ID}"]
        )
        unshare = require("unshare", "util-linux")
        return [
            *(unshare, *namespaces, "--mount", "--propagation=private", "--"),
            *("/bin/sh", str(ENTER), str(self.root), str(self.data)),
            *(unshare, *identity, f"--root={self.root}", "--wd=/srv", "--"),
            *argv,
        ]

    def own(self, path: Path) -> None:
        """Give a file or directory in the data directory to the user that programs run as inside."""
        if self.privileged:
            os.chown(path, SERVICE_ID, SERVICE_ID)

    def check(self) -> None:
        """Raise :class:`StackError` with what to do if the system does not allow this."""
        trial = subprocess.run(self.command(["/bin/sh", "-c", ":"]), capture_output=True, text=True, check=False)
        if trial.returncode == 0:
            return
        need = "the right to mount (CAP_SYS_ADMIN)" if self.privileged else "unprivileged user namespaces"
        raise StackError(
            f"this system does not allow {need}, which the native stack needs: {trial.stderr.strip()}\n"
            "Allow it, or run as root, or start a container engine, or point STREAMGAUGE_DATABASE_URL and "
            "STREAMGAUGE_REDIS_URL at services that you have."
        )
