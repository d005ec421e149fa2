"""The micro benchmark times every stage of the core, and tells what changed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.benchmark import micro
from jobs.benchmark.backlog import Shape
from jobs.generate import Encoding
from streams.core.deduplicate import Judgement
from streams.core.order import Release
from streams.core.pipeline import STAGES
from streams.core.rollup import Closing


def test_every_stage_of_the_core_is_timed() -> None:
    names = {stage.name for stage in micro.stages(100, Shape(series=10, producers=2), list(Encoding))}

    assert all(any(name.startswith(stage) for name in names) for stage in STAGES)
    assert {f"decode_{encoding.value}" for encoding in Encoding} <= names


def test_what_is_timed_does_the_work() -> None:
    by_name = {
        stage.name: stage for stage in micro.stages(500, Shape(series=10, producers=2), [Encoding.BATCH])
    }

    new, again = (by_name[f"deduplicate_{name}"].prepare()() for name in ("new", "repeated"))

    assert isinstance(new, Judgement)
    assert isinstance(again, Judgement)
    assert (len(new.written), len(again.written)) == (500, 0)


def test_the_order_stage_holds_back_and_lets_go() -> None:
    (order,) = (
        stage
        for stage in micro.stages(500, Shape(series=10, producers=2), [Encoding.BATCH])
        if stage.name == "order"
    )

    release = order.prepare()()

    assert isinstance(release, Release)
    assert 0 < len(release.points.time_us) < 500


def test_the_rollup_stage_closes_all_that_it_took_in() -> None:
    (rollup,) = (
        stage
        for stage in micro.stages(500, Shape(series=10, producers=2), [Encoding.BATCH])
        if stage.name == "rollup"
    )

    closing = rollup.prepare()()

    assert isinstance(closing, Closing)
    assert closing.closed[0].readings.sum() == 500


def test_a_stage_that_is_new_has_no_change() -> None:
    (result,) = micro.held_against([{"name": "order", "lowest": 3.0}], {"decode": {"lowest": 1.0}})

    assert "change" not in result


def test_the_verb_holds_a_run_against_an_earlier_one(tmp_path: Path) -> None:
    first = tmp_path / "first.json"
    command = [sys.executable, "-m", "jobs.cli", "benchmark", "micro"]
    options = ["--readings", "1000", "--rounds", "1", "--encodings", "batch"]
    subprocess.run([*command, *options, "--save", str(tmp_path), "--json", str(first)], check=True)

    again = subprocess.run(
        [*command, *options, "--against", str(first), "--json", "-"], check=True, capture_output=True
    )

    document = json.loads(again.stdout)
    before = {result["name"]: result["lowest"] for result in json.loads(first.read_bytes())["results"]}
    assert {result["name"]: result["before"] for result in document["results"]} == before
    assert document["machine"]["cores"] >= 1
    assert document["options"]["readings"] == 1000
    assert re.search("encode copy", (tmp_path / "micro.svg").read_text(encoding="utf-8"))


@pytest.mark.parametrize("words", [["micro", "--encodings", "xml"], ["scale", "--workers", "two"]])
def test_what_makes_no_sense_ends_with_2(words: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "benchmark", *words], check=False, capture_output=True
    )

    assert ended.returncode == 2
