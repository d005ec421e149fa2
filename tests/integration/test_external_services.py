"""Services that are there already are used and never started, stopped or removed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams.settings import Settings

pytestmark = pytest.mark.stack


def run(state: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMGAUGE_")}
    own = {"STREAMGAUGE_STACK": "native", "STREAMGAUGE_STATE_DIR": str(state)}
    return subprocess.run(
        [sys.executable, "-m", "jobs.cli", "stack", *arguments],
        env=kept | own | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def theirs(stack: Settings) -> dict[str, str]:
    return {
        "STREAMGAUGE_KAFKA": stack.kafka,
        "STREAMGAUGE_DATABASE_URL": stack.owner_dsn,
        "STREAMGAUGE_REDIS_URL": stack.redis_url.get_secret_value(),
    }


def test_with_all_three_there_is_nothing_to_start(theirs: dict[str, str], tmp_path: Path) -> None:
    done = run(tmp_path, "up", **theirs)
    assert done.returncode == 0, done.stderr
    found = json.loads(run(tmp_path, "status", "--json", **theirs).stdout)
    assert {one["how"] for one in found} == {"external"}
    assert {one["state"] for one in found} == {"serving"}
    assert list((tmp_path / "data").iterdir()) == []
    assert list((tmp_path / "run").iterdir()) == []


def test_their_addresses_are_the_ones_that_env_prints(theirs: dict[str, str], tmp_path: Path) -> None:
    found = json.loads(run(tmp_path, "env", "--json", **theirs).stdout)
    assert found["kafka"] == theirs["STREAMGAUGE_KAFKA"]
    assert found["reader_url"] == found["database_url"] == theirs["STREAMGAUGE_DATABASE_URL"]


def test_they_are_nobody_elses_who_works_in_the_same_checkout(theirs: dict[str, str], tmp_path: Path) -> None:
    assert run(tmp_path, "up", **theirs).returncode == 0
    assert json.loads(run(tmp_path, "env", "--json").stdout) == {}


def test_down_and_destroy_leave_them_alone(theirs: dict[str, str], tmp_path: Path) -> None:
    run(tmp_path, "up", **theirs)
    assert run(tmp_path, "down", **theirs).returncode == 0
    assert run(tmp_path, "destroy", "--yes", **theirs).returncode == 0
    assert run(tmp_path, "status", **theirs).returncode == 0


def test_one_that_does_not_answer_is_named_and_nothing_is_started(
    theirs: dict[str, str], tmp_path: Path
) -> None:
    done = run(tmp_path, "up", **(theirs | {"STREAMGAUGE_KAFKA": "127.0.0.1:1"}))
    assert done.returncode == 1
    assert "STREAMGAUGE_KAFKA" in done.stderr
    assert list((tmp_path / "run").iterdir()) == []
