"""A service's process, known by the lock that it holds.

The process inherits an open, locked file that its own pid stands in. Nothing else says that it
lives: the kernel drops the lock with the last process that holds it, so no crash, reboot or
recycled process id leaves a wrong answer behind, and a service's children that outlive it count.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.stack.errors import StackError

POLL_S = 0.05
WRITTEN_WITHIN_S = 10.0


@dataclass(frozen=True)
class ServiceProcess:
    """The process that holds ``lock_file``, if any."""

    lock_file: Path

    def start(self, argv: Sequence[str], log: Path, cwd: Path) -> None:
        """Start ``argv`` detached from this terminal, its output appended to ``log``.

        Raises :class:`BlockingIOError` when the lock is held: the service runs already.
        """
        with self.lock_file.open("a") as lock, log.open("ab") as output:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            lock.truncate(0)
            # The lock is the process's standard input, which no service reads. The shell writes the
            # pid that exec keeps: lock and pid agree, whoever is killed and when.
            subprocess.run(
                ["setsid", "--fork", "/bin/sh", "-c", 'echo $$ >&0 && exec "$@"', "sh", *argv],
                stdin=lock,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=cwd,
                check=True,
            )
        self._until(lambda: self.pid() is not None or not self.running(), WRITTEN_WITHIN_S)

    def running(self) -> bool:
        """Tell whether the process, or a child that outlived it, holds the lock."""
        try:
            with self.lock_file.open("r") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def pid(self) -> int | None:
        """Return the id of the process if it runs and holds the lock itself."""
        try:
            pid = int(self.lock_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return pid if self._is_held_by(pid) else None

    def listens_on(self, port: int) -> bool:
        """Tell whether it is this process, and no other, that listens on a TCP port."""
        pid = self.pid()
        if pid is None:
            return False
        try:
            connections = psutil.Process(pid).net_connections("tcp")
        except psutil.Error:
            return False
        listening = [one for one in connections if one.status == psutil.CONN_LISTEN]
        return any(getattr(one.laddr, "port", None) == port for one in listening)

    def stop(self, signals: Sequence[signal.Signals], patience_s: float) -> None:
        """Send each signal in turn, ``patience_s`` apart, until nothing holds the lock.

        They go to the process, or where that is dead to the children it left. Raises
        :class:`StackError` if something still holds the lock.
        """
        for number in signals:
            pid = self.pid()
            for target in [pid] if pid is not None else self._holders():
                self._signal(target, number)
            if self.ends_within(patience_s):
                return
        raise StackError(f"it does not end; look at: fuser -v '{self.lock_file}'")

    def ends_within(self, patience_s: float) -> bool:
        """Wait until nothing holds the lock, ``patience_s`` at most; tell whether."""
        return self._until(lambda: not self.running(), patience_s)

    def _signal(self, pid: int, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(pid)
            try:
                # Asked after the process was taken hold of, so that this cannot be another one by now.
                if self._is_held_by(pid):
                    signal.pidfd_send_signal(process, number)
            finally:
                os.close(process)

    def _holders(self) -> list[int]:
        numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return [pid for pid in numbers if self._is_held_by(pid)]

    def _is_held_by(self, pid: int) -> bool:
        try:
            lock = self.lock_file.stat()
            return any(os.path.samestat(lock, fd.stat()) for fd in Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            return False

    @staticmethod
    def _until(condition: Callable[[], bool], patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True
