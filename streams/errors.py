"""Errors that a user can put right: told in a sentence, without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right; the message says what is wrong, ``hint`` what to do next.

    The command-line program prints both and ends with ``exit_code``; it shows no traceback.

    >>> print(UserError("no such file: pump.csv", hint="Give a path that exists, or - for input."))
    no such file: pump.csv
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(UserError):
    """An option, an argument or a setting does not make sense."""

    exit_code = 2


class ServiceUnavailable(UserError):  # noqa: N818 - reads as what happened
    """Kafka, TimescaleDB or Redis cannot be reached, or does not let us in."""

    exit_code = 3
