"""What Kafka is started with."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from infra.stack.errors import StackError
from infra.stack.kafka import cluster_id, java


def test_a_cluster_id_is_sixteen_bytes_and_looks_like_no_option() -> None:
    ids = [cluster_id() for _ in range(200)]
    assert all(len(base64.urlsafe_b64decode(name + "==")) == 16 for name in ids)
    assert not any(name.startswith("-") for name in ids)
    assert len(set(ids)) == 200


@pytest.mark.parametrize(
    ("banner", "accepted"),
    [
        ('openjdk version "21.0.4" 2024-07-16', True),
        ('openjdk version "17" 2021-09-14', True),
        ('openjdk version "11.0.24" 2024-07-16', False),
        ('java version "1.8.0_402"', False),
        ("not java at all", False),
    ],
)
def test_only_a_java_that_kafka_runs_on_is_accepted(
    banner: str, accepted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{banner}' >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    if accepted:
        assert java() == str(program)
    else:
        with pytest.raises(StackError, match="not Java 17"):
            java()


def test_a_java_home_without_a_java_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(StackError, match="not Java 17") as failure:
        java()
    assert "JAVA_HOME" in failure.value.hint
