"""``python -m jobs.cli`` is the program ``streamgauge``."""

from __future__ import annotations

from jobs.cli.main import main

main()
