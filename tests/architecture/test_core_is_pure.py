"""The core can be imported and used where there is no Kafka, no database and no clock."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import streams.core

CORE = Path(streams.core.__file__).parent
MODULES = sorted(CORE.rglob("*.py"))
BLOCKED = (
    "aiokafka", "confluent_kafka", "faust", "httpx", "mode", "psycopg", "pydantic", "redis", "requests",
    "rich", "typer", "asyncio", "socket", "threading",
)  # fmt: skip
CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}

IMPORT_EVERYTHING = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ImportError(f"streams.core must not import {{name}}")

# The interpreter and numpy may have what they need; the core may not.
import numpy
for name in {blocked!r}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Blocked())
for name in {modules!r}:
    importlib.import_module(name)
"""


def names_of_modules() -> list[str]:
    return [
        ".".join(("streams.core", *path.relative_to(CORE).with_suffix("").parts)).removesuffix(".__init__")
        for path in MODULES
    ]


def test_the_core_imports_where_drivers_are_blocked() -> None:
    program = IMPORT_EVERYTHING.format(blocked=BLOCKED, modules=names_of_modules())
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_the_block_blocks() -> None:
    program = IMPORT_EVERYTHING.format(blocked=BLOCKED, modules=["psycopg"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert "must not import psycopg" in done.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_reads_no_clock(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert list(clock_reads(tree)) == []


def test_a_read_of_a_clock_is_found() -> None:
    program = (
        "import time\nfrom time import monotonic\nfrom datetime import datetime\ntime.time()\ndatetime.now()"
    )

    assert list(clock_reads(ast.parse(program))) == ["time.monotonic", "time.time", "datetime.now"]


def clock_reads(tree: ast.AST) -> list[str]:
    """Return the clock functions that a module imports or calls by their module's or class's name."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in CLOCKS:
            reads = CLOCKS[node.module]
            found += [f"{node.module}.{alias.name}" for alias in node.names if alias.name in reads]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if node.attr in CLOCKS.get(owner, ()):
                found.append(f"{owner}.{node.attr}")
    return found
