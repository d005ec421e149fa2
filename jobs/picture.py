"""Draws the way of a reading into the README, from the one statement of the order of the stages.

``python -m jobs.picture`` brings the README up to date.
"""

from __future__ import annotations

from importlib import import_module

from streams.core.pipeline import CHUNK_STAGES, STAGES
from streams.settings import PROJECT_ROOT, Settings

README = PROJECT_ROOT / "README.md"
BEGIN = "<!-- The way of a reading: made by `python -m jobs.picture`; a test keeps it current. -->"
END = "<!-- End of the way of a reading. -->"


def draw() -> str:
    """Return the picture as a fenced block of Markdown; a stage says what its module's first line says."""
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    flush = f"{defaults['flush_rows']:,} readings, or {defaults['flush_ms']} ms after the last: one flush"
    steps = {
        "producers": "Avro or JSON, keyed by producer",
        "Kafka": defaults["readings_topic"],
        **{stage: _purpose(stage) for stage in STAGES},
        "TimescaleDB": "one transaction: readings, dead letters, and the next offset of each partition",
        "SQL": "views by name, for analysts who can change nothing",
    }
    notes = {"Kafka": "what one fetch brought of one partition: one event", CHUNK_STAGES[-1]: flush}
    lines = []
    for name, purpose in steps.items():
        lines.append(f"  {name:<12} {purpose}")
        if name in notes:
            lines.append(f"     │         {notes[name]}")
        lines.append("     ▼")
    return "\n".join(["```text", *lines[:-1], "```"])


def with_picture(page: str) -> str:
    r"""Return ``page`` with a picture between its two markers that is up to date.

    >>> with_picture(f"before\n{BEGIN}\nold\n{END}\nafter").endswith(f"```\n{END}\nafter")
    True
    """
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{draw()}\n{END}{after}"


def _purpose(stage: str) -> str:
    text = import_module(f"streams.core.{stage}").__doc__ or ""
    return text.partition("\n")[0].rstrip(".")


if __name__ == "__main__":
    README.write_text(with_picture(README.read_text(encoding="utf-8")), encoding="utf-8")
