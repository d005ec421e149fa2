"""Every command of the README does what the README says, in its order, on the real stack.

They run on a topic and a database of this test's own; the topic's name is all that is not as printed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from confluent_kafka.admin import AdminClient

from streams.settings import PROJECT_ROOT, Settings
from tests.databases import as_reader, as_writer
from tests.documents import Block, blocks
from tests.waiting import eventually

pytestmark = pytest.mark.stack

README = PROJECT_ROOT / "README.md"
TOPIC = "telemetry.readings"
SERVICES = "export STREAMGAUGE_KAFKA="
"""The block that begins so brings services that exist up to date and starts workers on them."""

NOT_RUN = {
    "make demo": "make test runs this test, test_demo_cli.py the demo; below, that both recipes are there",
    "STREAMGAUGE_STACK=docker": "needs a container engine; tests/unit/test_compose.py checks the file",
}
"""Blocks that are not run here, by their beginning, and why."""

RUN = [block for block in blocks(README) if block.language in ("bash", "python", "sql")]
RUN = [block for block in RUN if not block.text.startswith((*NOT_RUN, SERVICES))]


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who follows the README: a shell's environment, and what is stored of what they send."""

    topic: str
    environment: dict[str, str]
    database: psycopg.Connection[Any]

    def follow(self, block: Block) -> None:
        """Do what ``block`` says."""
        match block.language:
            case "sql":
                self.ask(block.text)
            case "python":
                self.run([sys.executable, "-c", block.text.replace(TOPIC, self.topic)])
            case _:
                script = block.text.replace(TOPIC, self.topic)
                self.run(["bash", "-euo", "pipefail", "-c", script])

    def run(self, command: list[str]) -> None:
        """Run a command in the checkout; it must succeed."""
        done = subprocess.run(
            command, cwd=PROJECT_ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def ask(self, queries: str) -> None:
        """Run each query; each must return rows."""
        for query in filter(str.strip, queries.split(";")):
            assert self.database.execute(query.encode()).fetchone() is not None, query

    def stored(self) -> tuple[int, int]:
        """Return how many readings and dead letters are stored."""
        row = self.database.execute(
            "SELECT sum(written)::int, sum(dead_letters)::int FROM pipeline_progress"
        ).fetchone()
        assert row is not None
        return row[0] or 0, row[1] or 0


@pytest.fixture(scope="module")
def environment(stack: Settings, database: str) -> dict[str, str]:
    """What a reader's shell would have, with the test's own topic, group and database."""
    name = f"test.{uuid4().hex[:10]}"
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "STREAMGAUGE_KAFKA": stack.kafka,
        "STREAMGAUGE_REPLICATION_FACTOR": "1",
        "STREAMGAUGE_DATABASE_URL": database,
        "STREAMGAUGE_WRITER_URL": as_writer(database),
        "STREAMGAUGE_READER_URL": as_reader(database),
        "STREAMGAUGE_REDIS_URL": stack.redis_url.get_secret_value(),
        "STREAMGAUGE_READINGS_TOPIC": name,
        "STREAMGAUGE_GROUP": name,
    }


@pytest.fixture(scope="module")
def reader(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Follow the block about one's own services, whose last line starts workers; stop them at the end."""
    (block,) = [block for block in blocks(README, "bash") if block.text.startswith(SERVICES)]
    exports = re.findall(r"^export (\w+)=.*\n", block.text, re.MULTILINE)
    assert set(exports) <= environment.keys(), "the fixture gives each of them a value of the real stack"
    *preparations, workers = re.sub(r"^export .*\n", "", block.text, flags=re.MULTILINE).splitlines()
    topic = environment["STREAMGAUGE_READINGS_TOPIC"]
    log = tmp_path_factory.mktemp("readme") / "workers.log"
    with psycopg.connect(environment["STREAMGAUGE_READER_URL"], autocommit=True) as session:
        follower = Reader(topic, environment, session)
        for command in preparations:
            follower.run(["bash", "-c", command])
        with log.open("wb") as output:
            process = subprocess.Popen(
                workers.split(), cwd=PROJECT_ROOT, env=environment, stdout=output, stderr=output
            )
        yield follower
        process.terminate()
        assert process.wait(30) == 0, log.read_text(errors="replace")
    admin = AdminClient({"bootstrap.servers": environment["STREAMGAUGE_KAFKA"]})
    admin.delete_topics([topic])[topic].result(30)


@pytest.mark.parametrize("block", RUN, ids=str)
def test_what_the_readme_says_works(block: Block, reader: Reader) -> None:
    if "kcat" in block.text and shutil.which("kcat") is None:
        pytest.skip("kcat is not installed: sudo apt-get install kcat")
    sends = TOPIC in block.text or "streamgauge publish" in block.text
    before, _ = reader.stored()

    reader.follow(block)

    if sends:
        eventually(lambda: sum(reader.stored()) > before, f"what {block} sends to be stored")
    assert reader.stored()[1] == 0, "what the README sends is no dead letter"


def test_every_block_is_run_or_says_why_not() -> None:
    told = [block for block in blocks(README) if block.language != "text"]
    excused = [block for block in told if block.text.startswith(tuple(NOT_RUN))]

    assert len(excused) == len(NOT_RUN)
    assert len(RUN) + len(excused) + 1 == len(told), "one block more starts the workers of this test"


@pytest.mark.parametrize(
    ("target", "recipe"), [("demo", ".venv/bin/streamgauge demo"), ("test", "infra/check")]
)
def test_the_two_commands_are_there(target: str, recipe: str) -> None:
    shown = subprocess.run(
        ["make", "--dry-run", target], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )

    assert shown.stdout.splitlines()[-1] == recipe
