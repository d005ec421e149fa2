"""The programs of ``jobs/benchmark/peers/``: what they need, and how they are started."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from jobs.benchmark.backlog import Backlog
from jobs.benchmark.rounds import Say
from jobs.companion import Companion
from jobs.generate import Encoding
from streams.errors import UserError
from streams.settings import Settings, state_dir

PROGRAMS = Path(__file__).parent / "peers"
MOST_ROWS = 50_000
COMMON = ("numpy", "orjson", "psycopg[binary]")


@dataclass(frozen=True, slots=True)
class Rival:
    """A program and the packages it needs; one that needs none runs in our own environment."""

    name: str
    program: str
    packages: tuple[str, ...] = ()
    encodings: tuple[Encoding, ...] = (Encoding.JSON, Encoding.JSON_ARRAY)


RIVALS = (
    Rival("plain_loop", "plain.py"),
    Rival("stock_faust", "stock_faust.py"),
    Rival("bytewax", "bytewax_flow.py", ("bytewax[kafka]==0.21.1",)),
    Rival("quix", "quix.py", ("quixstreams==3.28.1",)),
    Rival("pathway", "pathway_flow.py", ("pathway==0.33.0",), (Encoding.JSON,)),
)


def environment_of(rival: Rival, say: Say) -> Path:
    """Return the Python that a rival runs with, after installing what it needs.

    Raises :class:`~streams.errors.UserError` when it cannot be installed here.
    """
    if not rival.packages:
        return Path(sys.executable)
    home = state_dir() / "benchmark" / rival.name
    python, ready = home / "bin" / "python", home / "ready"
    if not ready.exists() or ready.read_text() != " ".join(rival.packages):
        say(f"installing {', '.join(rival.packages)}")
        _run([sys.executable, "-m", "venv", "--clear", str(home)])
        _run([str(python), "-m", "pip", "install", "--quiet", *rival.packages, *COMMON])
        ready.write_text(" ".join(rival.packages))
    return python


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip() or str(error)).splitlines()[-1]
        raise UserError(f"cannot be installed: {reason}", hint="See --peers for the others.") from error


class Attempt:
    """One rival at work on a backlog, which may be killed and started again."""

    def __init__(self, rival: Rival, python: Path, backlog: Backlog, dsn: str, directory: Path) -> None:
        self._rival = rival
        self._command = [str(python), str(PROGRAMS / rival.program)]
        self._commits = directory / "commits"
        state = directory / "state"
        state.mkdir()
        self._environment = {
            "PEER_KAFKA": Settings().kafka,
            "PEER_TOPIC": backlog.topic,
            "PEER_GROUP": f"{backlog.topic}.{uuid4().hex[:6]}",
            "PEER_DSN": dsn,
            "PEER_COMMITS": str(self._commits),
            "PEER_STATE": str(state),
            "PEER_ROWS": str(min(MOST_ROWS, Settings().flush_rows)),
            "PYTHONPATH": "",
        }
        self._commits.touch()
        self.start()

    def start(self) -> None:
        """Start the program, for the first time or again."""
        log = state_dir() / "logs" / f"benchmark-{self._rival.name}.log"
        self.process = Companion(self._rival.name, self._command, log, self._environment)

    def commits(self) -> list[tuple[float, int]]:
        """Return time and size of every commit so far."""
        return commits_of(self._commits.read_text())


def commits_of(text: str) -> list[tuple[float, int]]:
    """Read what a program noted of its commits; a line that is being written is left out.

    >>> commits_of("12.5 100\\n13.0 5")
    [(12.5, 100)]
    """
    lines = [line.split() for line in text.split("\n")[:-1]]
    return [(float(at_s), int(count)) for at_s, count in lines]


@contextmanager
def attempt(rival: Rival, python: Path, backlog: Backlog, dsn: str) -> Iterator[Attempt]:
    """Start a rival; it is killed afterwards."""
    with TemporaryDirectory(prefix="streamgauge-") as directory:
        tried = Attempt(rival, python, backlog, dsn, Path(directory))
        try:
            yield tried
        finally:
            tried.process.kill()
