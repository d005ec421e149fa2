"""Faults of what is around the pipeline: Redis, and the clock."""

from __future__ import annotations

import signal
import time
from random import Random

import redis

from tests.chaos.faults.fault import Fault
from tests.chaos.run import Run
from tests.chaos.workers import JUMPING_CLOCK


def lose_redis(run: Run, random: Random) -> None:
    """Empty Redis, then end it and start it again."""
    with redis.Redis.from_url(run.settings.redis_url.get_secret_value()) as client:
        client.flushall()
    run.stack.end("redis", signal.SIGKILL)
    time.sleep(random.uniform(0.5, 2.0))
    run.stack.up("redis")


def let_the_clock_jump(run: Run, random: Random) -> None:
    """Let some time pass: the clocks of the workers jump from the start, every half a second."""
    time.sleep(2.0)


FAULTS = [
    Fault("redis-lost", "Redis is emptied, killed and started again", lose_redis, frozenset({"redis"})),
    Fault(
        "clock-jumps",
        "the workers' wall clocks jump by hours and days, back and forth",
        let_the_clock_jump,
        settings={JUMPING_CLOCK: "1"},
    ),
]
