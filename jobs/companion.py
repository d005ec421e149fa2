"""A process that a job starts beside itself, with a log of its own, and ends again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.errors import UserError

_TAIL_BYTES = 4096


class Companion:
    """Runs ``command`` until it is told to stop, with ``environment`` besides what is there.

    Its standard input is a pipe that is never written to: where the command ends when that closes,
    it does not outlive this process, however this process ends. It has a session of its own, so
    that Ctrl-C reaches it by :meth:`stop` alone.
    """

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise :class:`~streams.errors.UserError` when the process has ended by itself."""
        code = self._process.poll()
        if code is not None:
            raise UserError(
                f"the {self.name} ended with code {code}: {self._last_words()}",
                hint=f"Its log is {self.log}",
            )

    def kill(self) -> None:
        """End the process as a power cut would."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def stop(self, within_s: float) -> bool:
        """Ask the process to end; kill it after ``within_s``. Return whether it ended by itself."""
        self._process.terminate()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False
        finally:
            if self._process.stdin is not None:
                self._process.stdin.close()
        return True

    def _last_words(self) -> str:
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
