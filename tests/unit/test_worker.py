from __future__ import annotations

import subprocess
import sys

DEFECTIVE = """
import asyncio
from streams import worker

async def stay():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def break_down(settings):
    worker.stays = asyncio.create_task(stay())
    await asyncio.sleep(0)
    raise RuntimeError("a defect")

worker.run_until_told = break_down
worker.main()
"""


def test_a_worker_that_cannot_go_on_ends_though_its_tasks_do_not() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", DEFECTIVE], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "This worker cannot go on" in ended.stderr
    assert "RuntimeError: a defect" in ended.stderr
