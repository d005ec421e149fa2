"""``streamgauge publish``: what stands in a file arrives in Kafka, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.core.series import SeriesKey
from streams.settings import Settings
from tests.integration.records import PROGRAM, environment, read_topic, run
from tests.waiting import eventually

pytestmark = pytest.mark.stack

NewTopic = Callable[..., str]
TIME_US = 1_714_564_800_000_000


def test_a_csv_of_one_series_is_named_after_its_file(
    stack: Settings, new_topic: NewTopic, tmp_path: Path
) -> None:
    topic, file = new_topic(2), tmp_path / "pump-1.rpm.csv"
    file.write_text("timestamp,value\n2024-05-01 12:00:00,1450\n2024-05-01 12:00:01,1451.5\n")

    done = run("publish", str(file), "--unit", "/min", "--producer", "me", "--json", topic=topic)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["readings"] == 2
    found = read_topic(stack, topic)
    assert {each.series for each in found} == {SeriesKey("default", "pump-1", "rpm", (("unit", "/min"),))}
    assert [(each.time_us, each.value, each.sequence) for each in found] == [
        (TIME_US, 1450.0, 0),
        (TIME_US + 1_000_000, 1451.5, 1),
    ]
    assert {each.producer for each in found} == {"me"}


def test_many_lines_arrive_once_each_in_order_and_in_batches(
    stack: Settings, new_topic: NewTopic, tmp_path: Path
) -> None:
    topic, file = new_topic(1), tmp_path / "many.csv"
    lines = [f"{TIME_US + n},s{n % 3},m,{n}" for n in range(5000)]
    file.write_text("\n".join(["ts,source,metric,value", *lines]))

    done = run("publish", str(file), "--batch", "400", "--json", topic=topic)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["messages"] == 13
    found = read_topic(stack, topic)
    assert [each.value for each in found] == [float(n) for n in range(5000)]
    assert [each.sequence for each in found] == list(range(5000))


def test_a_second_run_has_a_higher_epoch(stack: Settings, new_topic: NewTopic, tmp_path: Path) -> None:
    topic, file = new_topic(1), tmp_path / "a.csv"
    file.write_text(f"ts,value\n{TIME_US},1\n")

    for _ in range(2):
        assert run("publish", str(file), topic=topic).returncode == 0

    first, second = read_topic(stack, topic)
    assert second.epoch > first.epoch


def test_bad_lines_are_told_and_the_rest_is_sent(
    stack: Settings, new_topic: NewTopic, tmp_path: Path
) -> None:
    topic, file = new_topic(1), tmp_path / "a.lp"
    file.write_text(
        f'cpu,host=a idle=99.5,note="text" {TIME_US}000\nwhat is this\ncpu,host=a idle=98 {TIME_US + 1}000\n'
    )

    done = run("publish", str(file), topic=topic)

    assert done.returncode == 1
    assert done.stderr.startswith("line 2: not line protocol")
    assert "refused 1 line: not line protocol" in done.stdout
    assert "skipped 1 field: text is not a number" in done.stdout
    assert [each.value for each in read_topic(stack, topic)] == [99.5, 98.0]


def test_strict_stops_at_the_first_bad_line(stack: Settings, new_topic: NewTopic, tmp_path: Path) -> None:
    topic, file = new_topic(1), tmp_path / "a.csv"
    file.write_text(f"ts,value\n{TIME_US},1\n{TIME_US},x\n{TIME_US},2\n")

    done = run("publish", str(file), "--strict", topic=topic)

    assert done.returncode == 1
    assert "error: line 3: value 'x' is not a number" in done.stderr
    assert len(read_topic(stack, topic)) == 1


def test_json_lines_keep_what_they_say(stack: Settings, new_topic: NewTopic) -> None:
    topic = new_topic(1)
    line = {
        "tenant": "acme",
        "source": "a",
        "metric": "b",
        "time": "2024-05-01T12:00:00Z",
        "value": 1,
        "quality": "uncertain",
        "producer": "plc",
        "epoch": 3,
        "sequence": 9,
        "attributes": {"site": "north"},
    }

    done = run("publish", "-", topic=topic, given=json.dumps(line) + "\n")

    assert done.returncode == 0, done.stderr
    (found,) = read_topic(stack, topic)
    assert found == (SeriesKey("acme", "a", "b", (("site", "north"),)), TIME_US, 1.0, 1, "plc", 3, 9)


def test_a_pipe_is_sent_while_it_is_open(stack: Settings, new_topic: NewTopic) -> None:
    topic = new_topic(1)
    program = subprocess.Popen(
        [*PROGRAM, "publish", "-", "--source", "s"],
        env=environment(topic),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdin is not None
    program.stdin.write(f"ts,value\n{TIME_US},1\n")
    program.stdin.flush()
    eventually(lambda: len(read_topic(stack, topic)) == 1, "the first reading of an open pipe")

    program.stdin.write(f"{TIME_US + 1},2\n")
    output, _ = program.communicate(timeout=60)

    assert program.returncode == 0
    assert output.startswith("sent 2 readings")
    assert [each.value for each in read_topic(stack, topic)] == [1.0, 2.0]


def test_ctrl_c_sends_what_was_read_and_ends_quietly(stack: Settings, new_topic: NewTopic) -> None:
    topic = new_topic(1)
    program = subprocess.Popen(
        [*PROGRAM, "publish", "-", "--source", "s"],
        env=environment(topic),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdin is not None
    program.stdin.write(f"ts,value\n{TIME_US},1\n")
    program.stdin.flush()
    eventually(lambda: len(read_topic(stack, topic)) == 1, "the reading")

    os.kill(program.pid, signal.SIGINT)
    program.wait(timeout=60)  # with its input open: at the end of that it would end by itself
    _, errors = program.communicate()

    assert program.returncode == 130
    assert "Traceback" not in errors


def test_a_topic_that_is_missing_is_told_at_once(stack: Settings, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(f"ts,value\n{TIME_US},1\n")

    done = run("publish", str(file), topic="no.such.topic")

    assert done.returncode == 3
    assert "streamgauge topics apply" in done.stderr
