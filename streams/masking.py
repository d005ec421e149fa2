"""Hides secrets in text that is shown or logged."""

from __future__ import annotations

import re

MASK = "***"

# Greedy up to the last @: a password with an unescaped @ is hidden whole.
_IN_URL = re.compile(r"(\w://[^:/@\s]*):[^\s]*@")
_IN_PARAMETER = re.compile(r"(password\s*=\s*)('(?:\\.|[^'\\])*'|[^&\s'\"]+)", re.IGNORECASE)


def mask_secrets(text: str) -> str:
    """Return ``text`` with the passwords of connection strings replaced.

    >>> mask_secrets("postgresql://owner:p@ss/word@db:5432/streamgauge")
    'postgresql://owner:***@db:5432/streamgauge'
    >>> mask_secrets("host=db user=owner password='my secret'")
    'host=db user=owner password=***'
    """
    return _IN_PARAMETER.sub(rf"\1{MASK}", _IN_URL.sub(rf"\1:{MASK}@", text))
