"""Where settings come from, and in which order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from streams.settings import Settings

STACK = {
    "kafka": "127.0.0.1:1",
    "database_url": "postgresql://owner:a@127.0.0.1:2/streamgauge",
    "writer_url": "postgresql://writer:b@127.0.0.1:2/streamgauge",
    "reader_url": "postgresql://reader:c@127.0.0.1:2/streamgauge",
    "redis_url": "redis://:d@127.0.0.1:3/0",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and state directory of its own, with no settings in the environment."""
    import os

    for name in [name for name in os.environ if name.startswith("STREAMGAUGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("STREAMGAUGE_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write_stack(place: Path) -> None:
    (place / "stack.json").write_text(json.dumps({"mode": "native", "env": STACK}))


def test_without_anything_the_defaults_hold(place: Path) -> None:
    assert Settings().kafka == "localhost:9092"
    assert Settings().reader_dsn == Settings().writer_dsn == Settings().owner_dsn


def test_the_environment_beats_the_file_beats_the_stack(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_stack(place)
    assert Settings().kafka == "127.0.0.1:1"

    (place / "streamgauge.toml").write_text('kafka = "file:1"\ngroup = "file"\n')
    assert (Settings().kafka, Settings().group) == ("file:1", "file")

    monkeypatch.setenv("STREAMGAUGE_KAFKA", "environment:1")
    assert (Settings().kafka, Settings().group) == ("environment:1", "file")


def test_the_roles_of_the_local_stack_come_with_its_database(place: Path) -> None:
    _write_stack(place)

    assert Settings().writer_dsn == STACK["writer_url"]
    assert Settings().reader_dsn == STACK["reader_url"]


def test_another_database_is_not_mixed_with_the_roles_of_the_local_stack(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write_stack(place)
    monkeypatch.setenv("STREAMGAUGE_DATABASE_URL", "postgresql://elsewhere/streamgauge")

    assert Settings().writer_dsn == Settings().reader_dsn == "postgresql://elsewhere/streamgauge"
    assert Settings().kafka == STACK["kafka"]


@pytest.mark.parametrize("text", ["", "{", '{"env": {"unknown": "x"}}'])
def test_a_stack_file_that_says_nothing_is_ignored(place: Path, text: str) -> None:
    (place / "stack.json").write_text(text)

    assert Settings().kafka == "localhost:9092"


def test_an_empty_variable_counts_as_none(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_KAFKA", "")

    assert Settings().kafka == "localhost:9092"


def test_an_unknown_key_in_the_file_is_refused(place: Path) -> None:
    (place / "streamgauge.toml").write_text('kafkaa = "x"\n')

    with pytest.raises(ValidationError, match="kafkaa"):
        Settings()


def test_secrets_do_not_show_in_the_settings_as_text(place: Path) -> None:
    _write_stack(place)

    assert not any(f":{secret}@" in repr(Settings()) for secret in "abcd")


def test_levels_of_rollups_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_ROLLUP_LEVELS", "10s,1m,1h")
    monkeypatch.setenv("STREAMGAUGE_ROLLUPS_TOLD", "1h")
    assert Settings().rollup_widths_us == (10_000_000, 60_000_000, 3_600_000_000)

    monkeypatch.setenv("STREAMGAUGE_ROLLUP_LEVELS", "1m,90s")
    with pytest.raises(ValidationError, match="a level of 90 s is not a multiple of the one before, 60 s"):
        Settings()


def test_only_levels_that_there_are_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_ROLLUPS_TOLD", "15m,2h,1w")
    with pytest.raises(ValidationError, match="rollups_told names 1w, 2h, which rollup_levels does not"):
        Settings()
