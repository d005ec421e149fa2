"""What the program says about its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.configuration import describe, document, unknown_variables
from streams.settings import PROJECT_ROOT, Settings


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_each_value_is_told_with_its_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_FLUSH_MS", "20")
    (tmp_path / "streamgauge.toml").write_text('group = "mine"\n')
    (tmp_path / "stack.json").write_text('{"env": {"redis_url": "redis://:secret@127.0.0.1:1/0"}}')

    told = {setting.name: setting for setting in describe(Settings())}

    assert (told["flush_ms"].value, told["flush_ms"].origin) == ("20", "environment")
    assert (told["group"].value, told["group"].origin) == ("mine", "streamgauge.toml")
    assert told["redis_url"].value == "redis://:***@127.0.0.1:1/0"
    assert told["redis_url"].origin == "local stack"
    assert told["flush_rows"].origin == "default"
    assert told.keys() == Settings.model_fields.keys()


def test_a_misspelt_variable_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMGAUGE_KAFAK", "x")

    assert unknown_variables() == ["STREAMGAUGE_KAFAK"]


def test_the_reference_of_settings_is_current() -> None:
    page = PROJECT_ROOT / "docs" / "configuration.md"

    assert page.read_text(encoding="utf-8") == document(), (
        "streamgauge config document > docs/configuration.md"
    )
