"""What can go wrong with the stack."""

from __future__ import annotations

from streams.errors import UserError


class StackError(UserError):
    """The stack cannot do what was asked."""


class NotReady(StackError):  # noqa: N818 - reads as what happened
    """A service does not serve yet; asking again may help."""
