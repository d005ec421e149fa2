"""Run a tool to its end, and explain when it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.stack.errors import StackError

TAIL_LINES = 15


def require(program: str, package: str) -> str:
    """Return the path of ``program``, which Debian's ``package`` brings."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        raise StackError(f"{program} is missing", hint=f"Install it: sudo apt-get install {package}")
    return found


def run(argv: Sequence[str], log: Path, cwd: Path, env: Mapping[str, str] | None = None) -> None:
    """Run ``argv`` to its end, its output in ``log``; raise :class:`StackError` if it fails."""
    with log.open("wb") as output:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            check=False,
        )
    if done.returncode:
        raise StackError(f"{Path(argv[0]).name} ended with {done.returncode}\n{tail(log)}")


def output_of(argv: Sequence[str]) -> str:
    """Return what ``argv`` prints; raise :class:`StackError` if it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return where ``log`` is and its last lines."""
    try:
        text = log.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        return f"nothing was logged to {log}"
    return "\n".join([f"the end of {log}:", *(f"  {line}" for line in text)])
