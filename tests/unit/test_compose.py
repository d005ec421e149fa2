"""The compose file is valid, and says what the stack promises of its containers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from infra.stack import kafka
from infra.stack.compose import FILE, Compose, engine_answers
from infra.stack.endpoints import SERVICES
from infra.stack.progress import Progress
from infra.stack.state import State
from streams.settings import PROJECT_ROOT


@pytest.fixture
def compose(tmp_path: Path) -> Compose:
    return Compose(State(tmp_path), Progress(Console()))


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    content: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return dict(content["services"])


def validate(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_file_follows_the_compose_specification() -> None:
    done = validate(FILE)
    assert done.returncode == 0, done.stdout


def test_the_check_against_the_specification_finds_a_misspelt_key(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(FILE.read_text().replace("healthcheck:", "healthchek:"))
    assert validate(wrong).returncode != 0


def test_docker_compose_accepts_the_file(compose: Compose) -> None:
    version = ["docker", "compose", "version"]
    if not shutil.which("docker") or subprocess.run(version, capture_output=True, check=False).returncode:
        pytest.skip("docker's compose plugin is not installed")
    done = subprocess.run(
        compose.command("--profile", "*", "config", "--quiet"),
        env=os.environ | compose.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_variable_of_the_file_is_set_by_the_stack(compose: Compose) -> None:
    used = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", FILE.read_text()))
    assert used == set(compose.environment())


def test_every_image_is_pinned(services: dict[str, dict[str, Any]]) -> None:
    images = [service["image"] for service in services.values() if "build" not in service]
    assert len(images) == 5
    assert all(re.search(r":v?\d+\.\d+\.\d+", image) for image in images)
    assert services["kafka"]["image"].endswith(f":{kafka.VERSION}")


def test_every_port_is_open_to_this_machine_only(services: dict[str, dict[str, Any]]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_what_keeps_running_is_checked_and_limited(services: dict[str, dict[str, Any]]) -> None:
    for name, service in services.items():
        if name != "setup":
            assert service["healthcheck"]["test"], name
            assert service["deploy"]["resources"]["limits"]["memory"], name


def test_plain_up_starts_the_three_services_and_profiles_add_the_rest(
    services: dict[str, dict[str, Any]],
) -> None:
    assert {name for name, service in services.items() if "profiles" not in service} == set(SERVICES)
    assert services["worker"]["profiles"] == ["workers"]
    assert services["prometheus"]["profiles"] == services["grafana"]["profiles"] == ["metrics"]


def test_two_checkouts_have_two_projects(tmp_path: Path) -> None:
    names = set()
    for clone in ("one", "two"):
        (tmp_path / clone).mkdir()
        command = Compose(State(tmp_path / clone), Progress(Console())).command("ps")
        names.add(command[command.index("--project-name") + 1])
    assert len(names) == 2


@pytest.mark.parametrize(
    ("script", "answers"),
    [("exit 0", True), ('[ "$1" != info ]', False), ('[ "$1" != compose ]', False)],
    ids=["engine and plugin", "no engine", "no plugin"],
)
def test_containers_are_used_only_where_both_engine_and_plugin_answer(
    script: str, answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = tmp_path / "docker"
    client.write_text(f"#!/bin/sh\n{script}\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert engine_answers() is answers


def test_no_docker_client_means_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not engine_answers()


@pytest.mark.parametrize(
    "file",
    [
        "infra/prometheus/prometheus.yml",
        "infra/grafana/provisioning/datasources/streamgauge.yml",
        "infra/grafana/provisioning/dashboards/streamgauge.yml",
    ],
)
def test_what_is_mounted_into_containers_is_there_and_well_formed(
    file: str, services: dict[str, dict[str, Any]]
) -> None:
    mounts = [str(volume) for service in services.values() for volume in service.get("volumes", [])]
    folders = [mount.split(":")[0].removeprefix("./") for mount in mounts if mount.startswith("./")]
    assert any(file.startswith(folder) for folder in folders)
    assert yaml.safe_load((PROJECT_ROOT / file).read_text())


def test_prometheus_asks_the_port_that_workers_answer_on(services: dict[str, dict[str, Any]]) -> None:
    scraping = yaml.safe_load((PROJECT_ROOT / "infra/prometheus/prometheus.yml").read_text())
    target = scraping["scrape_configs"][0]["dns_sd_configs"][0]
    assert target["names"] == ["worker"]
    assert target["port"] == services["worker"]["environment"]["STREAMGAUGE_METRICS_PORT"]
