from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from jobs.forecast.pool import predict_all
from streams.core.forecast.predict import Forecast, Unpredictable
from streams.errors import UserError
from tests.waiting import eventually

VALUE = np.sin(np.arange(300) / 4)

PARENT = """
import sys, time
import numpy as np
from jobs.forecast.pool import predict_all

def endless():
    while True:
        yield 0, np.sin(np.arange(300) / 4)

if __name__ == "__main__":
    for _ in predict_all(endless(), 24, processes=1):
        print("one", flush=True)
"""


def test_each_series_has_its_answer_until_a_process_is_killed() -> None:
    taken = []

    def series() -> Iterator[tuple[int, np.ndarray]]:
        for number in itertools.count():
            taken.append(number)
            yield number, VALUE[: 40 * number]

    answers = predict_all(series(), 24, processes=1)
    assert next(answers) == (0, Unpredictable.NO_READINGS)
    assert taken == [0, 1, 2], "no more than are under way"
    found = dict(itertools.islice(answers, 7))
    assert found[1] == Unpredictable.TOO_SHORT
    assert isinstance(found[7], Forecast)

    (worker,) = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    worker.kill()
    with pytest.raises(UserError, match="has ended"):
        list(answers)


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=os.environ)
    assert parent.stdout is not None and parent.stdout.readline() == b"one\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    parent.kill()
    parent.wait()
    parent.stdout.close()

    assert children
    eventually(lambda: not any(child.is_running() for child in children), "the end of all processes")
