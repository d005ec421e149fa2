"""What the pages speak of is there: files, headings, verbs, settings, reasons."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from jobs.cli import main
from jobs.configuration import NOT_SETTINGS
from sinks.protocols import HaltKind
from streams.core.rejection import Reason
from streams.settings import PROJECT_ROOT, Settings
from tests.documents import anchors, blocks, inline_code, links, pages, prose, section

DOCS = PROJECT_ROOT / "docs"
RUNBOOK = DOCS / "runbook.md"

FOR_SCRIPTS = {"STREAMGAUGE_STACK", "STREAMGAUGE_PYTHON"}
"""Variables that are read before there are settings."""

each_page = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(PROJECT_ROOT)))


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@each_page
def test_files_that_are_named_exist(page: Path) -> None:
    for code in inline_code(page):
        if re.fullmatch(r"(streams|schemas|sinks|jobs|infra|tests|docs)/[a-z0-9_./-]*", code):
            assert (PROJECT_ROOT / code).exists() or "0042" in code, code


@each_page
def test_verbs_that_are_named_exist(page: Path) -> None:
    code = [*inline_code(page), *(block.text for block in blocks(page, "bash"))]
    for named in re.findall(r"\bstreamgauge((?: [a-z][a-z-]*)+)", "\n".join(code)):
        verb: Any = typer.main.get_command(main.app)
        for word in named.split():
            if hasattr(verb, "commands"):
                assert word in verb.commands, f"streamgauge{named}"
                verb = verb.commands[word]


@each_page
def test_settings_that_are_named_exist(page: Path) -> None:
    known = {f"STREAMGAUGE_{name.upper()}" for name in Settings.model_fields} | NOT_SETTINGS | FOR_SCRIPTS
    named = re.findall(r"STREAMGAUGE_[A-Z_]+[A-Z]", page.read_text(encoding="utf-8"))

    assert set(named) <= known


def test_the_runbook_knows_every_reason_of_a_dead_letter() -> None:
    table = section(RUNBOOK, "Dead letters grow")

    assert {reason.value for reason in Reason} <= set(re.findall(r"`(\w+)`", table))


def test_the_runbook_knows_every_kind_of_halt() -> None:
    table = section(RUNBOOK, "A partition is halted")

    assert {kind.value for kind in HaltKind} <= set(re.findall(r"`(\w+)`", table))


def test_every_page_is_listed() -> None:
    choices = [page.name for page in sorted((DOCS / "adr").glob("0*.md"))]

    assert set(choices) == set(links(DOCS / "adr" / "README.md")), "docs/adr/README.md has a line for each"
    assert {page.name for page in DOCS.glob("*.md")} - {"README.md"} <= set(links(DOCS / "README.md"))


def test_the_numbers_of_choices_are_their_own() -> None:
    for page in (DOCS / "adr").glob("0*.md"):
        assert prose(page).startswith(f"# {int(page.name[:3])}. "), page.name
