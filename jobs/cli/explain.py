"""Turns what drivers raise into a sentence for the user."""

from __future__ import annotations

import sys

from streams.errors import ServiceUnavailable, UserError

START_STACK = "Start the local stack with `streamgauge stack up`, or look with `streamgauge doctor`."

# Exception classes by module: a driver that was never imported cannot have raised, so nothing is imported.
_SERVICES = {
    "psycopg": (("OperationalError",), "TimescaleDB"),
    "redis": (("ConnectionError", "TimeoutError"), "Redis"),
    "confluent_kafka": (("KafkaException",), "Kafka"),
    "sinks.protocols": (("SinkUnavailable",), "TimescaleDB"),
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
    for module_name, (class_names, service) in _SERVICES.items():
        module = sys.modules.get(module_name)
        if module and isinstance(error, tuple(getattr(module, name) for name in class_names)):
            first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
            return ServiceUnavailable(f"{service}: {first_line}", hint=START_STACK)
    return None
