"""Turns what drivers and validators raise into a sentence for the user."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from streams.errors import ServiceUnavailable, UsageError, UserError

if TYPE_CHECKING:
    from pydantic import ValidationError

START_STACK = "Start the local stack with `streamgauge stack up`, or look with `streamgauge doctor`."

# By module and class name: a driver that was never imported cannot have raised, so none is imported here.
_SERVICES = {
    ("psycopg", "OperationalError"): "TimescaleDB",
    ("psycopg.errors", "InsufficientPrivilege"): "TimescaleDB",
    ("redis", "ConnectionError"): "Redis",
    ("redis", "TimeoutError"): "Redis",
    ("confluent_kafka", "KafkaException"): "Kafka",
    ("sinks.protocols", "SinkUnavailable"): "TimescaleDB",
}


def explain(error: BaseException) -> UserError | None:
    """Return ``error`` as one that a user can put right, or None where it is a defect of ours.

    >>> explain(ValueError("a defect")) is None
    True
    """
    if isinstance(error, UserError):
        return error
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError):
        return UserError(f"{error.strerror}: {error.filename}", hint="Check the path and your rights to it.")
    if _is(error, "tomllib", "TOMLDecodeError"):
        return UsageError(f"streamgauge.toml: {error}", hint="Correct the file in the working directory.")
    if _is(error, "pydantic", "ValidationError") and error.title == "Settings":  # type: ignore[attr-defined]
        return _invalid_settings(error)  # type: ignore[arg-type]
    if _is(error, "psycopg.errors", "UndefinedTable"):
        return UserError("the database lacks this program's tables", hint="Run `streamgauge migrate`.")
    for (module, name), service in _SERVICES.items():
        if _is(error, module, name):
            first_line = (_words(error).strip() or type(error).__name__).splitlines()[0]
            return ServiceUnavailable(f"{service}: {first_line}", hint=START_STACK)
    return None


def _words(error: BaseException) -> str:
    """Kafka's errors tell more than they say."""
    return error.args[0].str() if _is(error, "confluent_kafka", "KafkaException") else str(error)


def _is(error: BaseException, module: str, name: str) -> bool:
    imported = sys.modules.get(module)
    return imported is not None and isinstance(error, getattr(imported, name))


def _invalid_settings(error: ValidationError) -> UsageError:
    """One line for each setting, by the name of its variable; values are not shown, they may be secret."""
    lines = [
        f"STREAMGAUGE_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}"
        for each in error.errors(include_input=False, include_url=False)
    ]
    return UsageError("\n".join(lines), hint="See `streamgauge config document` for all settings.")
