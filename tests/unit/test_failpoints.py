"""Failpoints: what the environment names happens at that point, that many passings on, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from streams import failpoints
from streams.errors import UsageError
from streams.failpoints import VARIABLE, Action, Point, is_on, parse, reach, switch_on

PROGRAM = """
from streams.failpoints import Point, reach, switch_on
switch_on()
for number in range(4):
    reach(Point.AFTER_COPY)
    print(number, flush=True)
"""


@pytest.fixture
def _off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "_active", {})


def test_every_point_and_action_is_understood() -> None:
    for point in Point:
        for action in Action:
            (found,) = parse(f"{point}:{action}").values()
            assert (found.point, found.action, found.left) == (point, action, None)


@pytest.mark.parametrize(
    "text", ["after_copy", "nowhere:kill", "after_copy:dance", "after_copy:kill:0", "a:b:c"]
)
def test_a_spec_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not POINT:ACTION") as refusal:
        parse(text)
    assert "after_copy" in refusal.value.hint


@pytest.mark.usefixtures("_off")
def test_nothing_is_on_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    switch_on()
    assert not any(map(is_on, Point))
    for point in Point:
        reach(point)


def test_kill_ends_the_process_at_the_nth_passing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={VARIABLE: "before_copy:kill, after_copy:kill:3", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.split()) == (-9, ["0", "1"]), done.stderr


@pytest.mark.usefixtures("_off")
def test_sleep_waits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    monkeypatch.setenv(VARIABLE, "before_commit:sleep=2.5:2")
    switch_on()
    for _ in range(4):
        reach(Point.BEFORE_COMMIT)
    assert slept == [2.5]
