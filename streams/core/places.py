"""Nodes of the hierarchy by their paths."""

from __future__ import annotations

import re
from collections.abc import Sequence

LEVELS = ("site", "zone", "system", "component")
"""Levels below a tenant, from the highest on."""

Node = tuple[str | None, ...]
"""Names of a site, a zone, a system and a component, as far as they go; None for a level that is left out."""


def node_path(node: Sequence[str | None]) -> str:
    r"""Return the path of a node, as ``streamgauge hierarchy`` reads it.

    >>> print(node_path(["EU/1", None, "press", None]), node_path([None, "hall 1"]))
    EU\/1//press ./hall 1
    """
    names = [re.sub(r"([\\/])", r"\\\1", name or "") for name in without_end(node)]
    if not names:
        return "/"
    return "/".join([{"": ".", ".": r"\."}.get(names[0], names[0]), *names[1:]])


def without_end(names: Sequence[str | None]) -> Node:
    """Return names down to the last that is one, None for what is left out."""
    depth = max((number for number, name in enumerate(names, 1) if name), default=0)
    return tuple(name or None for name in names[:depth])
