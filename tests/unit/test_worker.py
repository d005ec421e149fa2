from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio
from streams import worker

async def stay():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def run(settings):
    worker.stays = asyncio.create_task(stay())
    await asyncio.sleep(0)
    {ends}

worker.run_until_told = run
worker.main()
"""


def ended(ends: str) -> subprocess.CompletedProcess[str]:
    """Run a worker whose tasks do not end when they are cancelled, until ``ends``."""
    program = [sys.executable, "-c", PROGRAM.format(ends=ends)]
    return subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("defect", ['RuntimeError("a defect")', "asyncio.CancelledError()", "SystemExit(0)"])
def test_a_worker_that_cannot_go_on_ends_though_its_tasks_do_not(defect: str) -> None:
    worker = ended(f"raise {defect}")
    assert worker.returncode == 1
    assert "This worker cannot go on" in worker.stderr
    assert defect.partition("(")[0].rpartition(".")[2] in worker.stderr


def test_a_worker_that_was_told_to_stop_ends_though_its_tasks_do_not() -> None:
    assert ended("return").returncode == 0
