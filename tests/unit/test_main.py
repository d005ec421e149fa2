"""The command-line program as a user meets it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from jobs.cli import main
from streams.errors import ServiceUnavailable

PROGRAM = [sys.executable, "-c", "from jobs.cli.main import main; main()"]
HEAVY = ("numpy", "pydantic", "confluent_kafka", "faust", "psycopg", "redis", "fastavro", "orjson")


def _verbs(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _verbs(inner, (*path, name))
    else:
        yield path


VERBS = list(_verbs(typer.main.get_command(main.app)))


def _run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_the_help_of_every_verb_has_an_example(verb: tuple[str, ...]) -> None:
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(main.app, [*verb, "--help"])

    assert shown.exit_code == 0
    assert f"streamgauge {' '.join(verb)}" in re.sub(r"Usage:.*", "", shown.output)


def test_the_help_imports_nothing_heavy() -> None:
    code = f"import sys; import jobs.cli.main; print([m for m in {HEAVY} if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout == "[]\n"


def test_the_version_is_that_of_the_package() -> None:
    assert re.fullmatch(r"streamgauge \d+\.\d+\.\d+\n", _run("--version").stdout)


@pytest.mark.parametrize("arguments", [["no-such-verb"], ["collect", "--interval", "never"]])
def test_wrong_usage_ends_with_2(arguments: list[str]) -> None:
    assert _run(*arguments).returncode == 2


def test_a_mistake_is_told_in_a_sentence_without_a_traceback(tmp_path: Path) -> None:
    run = _run("publish", str(tmp_path / "missing.csv"))

    assert run.returncode == 1
    assert run.stderr.startswith("error: No such file or directory")
    assert "Traceback" not in run.stderr


def test_a_directory_is_no_file_of_readings(tmp_path: Path) -> None:
    run = _run("publish", str(tmp_path))

    assert run.returncode == 2
    assert "is a directory" in run.stderr


def test_a_service_that_is_away_ends_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ServiceUnavailable("Kafka: gone", hint="Start it.")

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(SystemExit) as ended:
        main.main()

    assert ended.value.code == 3
    assert capsys.readouterr().err == "error: Kafka: gone\nStart it.\n"


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(main, "app", fail)
    with pytest.raises(ZeroDivisionError):
        main.main()


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = " ".join(f"'{part}'" for part in PROGRAM)
    run = subprocess.run(
        ["bash", "-c", f"{program} config document | head -n 0; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stderr == ""
    assert run.stdout.strip() in ("0", "1")
