"""What can go wrong with the stack."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot do what was asked; the message says why and what to do next."""


class NotReady(StackError):  # noqa: N818 - reads as what happened
    """A service does not answer yet."""
