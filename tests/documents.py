"""What stands in the project's pages: fenced blocks, inline code, links, headings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from streams.settings import PROJECT_ROOT

RUNBOOK = PROJECT_ROOT / "docs" / "runbook.md"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block: its language, its text, and the line of its page that its text begins at."""

    language: str
    text: str
    line: int

    def __str__(self) -> str:
        return f"line {self.line}, {self.language}"


def pages() -> list[Path]:
    """Return all pages of the project, by path."""
    top = [PROJECT_ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return [*top, *sorted((PROJECT_ROOT / "docs").rglob("*.md"))]


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """Return the fenced blocks of ``page`` in order, or those in ``language``."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(match[1], match[2], text.count("\n", 0, match.start()) + 2) for match in _FENCE.finditer(text)
    ]
    return [block for block in found if language in (None, block.language)]


def dropping_of_chunks() -> tuple[str, str]:
    """Return what the runbook says to execute before old chunks are dropped, and to drop them."""
    (block,) = [block for block in blocks(RUNBOOK, "sql") if "drop_chunks" in block.text]
    close, _, drop = block.text.partition(";")
    return close, drop


def section(page: Path, heading: str) -> str:
    """Return the text below ``heading`` (of the second level), up to the next one."""
    _, found, rest = page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    assert found, f"{page.name} has no heading {heading!r}"
    return rest.partition("\n## ")[0]


def prose(page: Path) -> str:
    """Return ``page`` without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Return where the links of ``page`` lead."""
    return _LINK.findall(prose(page))


def inline_code(page: Path) -> list[str]:
    """Return what ``page`` has in backticks."""
    return _CODE.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Return what a link to a heading of ``page`` may end with, as GitHub makes it."""
    headings = _HEADING.findall(prose(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
