"""Where the stack's services are, by its state, and whether they serve; native or in containers."""

from __future__ import annotations

from collections.abc import Iterable

from infra.stack.readiness import database_answers, kafka_accepts, kafka_answers, redis_answers
from infra.stack.roles import ADMIN, database_url, provision, role_urls
from infra.stack.state import State

SERVICES = ("kafka", "timescaledb", "redis")


def location(state: State, service: str) -> str:
    """Return host and port of a service whose port was chosen."""
    return f"127.0.0.1:{state.ports[service]}"


def addresses(state: State, services: Iterable[str] = SERVICES) -> dict[str, str]:
    """Return the settings that lead to those services that ever ran, by name."""
    found: dict[str, str] = {}
    for service in services:
        if service not in state.ports:
            continue
        where = location(state, service)
        if service == "kafka":
            found["kafka"] = where
        elif service == "timescaledb":
            found |= role_urls(where, state.secret)
        else:
            found["redis_url"] = f"redis://:{state.secret('redis')}@{where}/0"
    return found


def answer(state: State, service: str) -> None:
    """Ask a service something harmless; raise :class:`NotReady` if it does not answer."""
    found = addresses(state, [service])
    if service == "kafka":
        kafka_answers(found["kafka"])
    elif service == "timescaledb":
        database_answers(found["database_url"])
    else:
        redis_answers(found["redis_url"])


def serve(state: State, service: str) -> None:
    """Use a service in earnest: a produced record, a query, a ping; raise :class:`NotReady`.

    The database gets the roles, the database and the extension where they are missing.
    """
    if service == "kafka":
        kafka_accepts(location(state, service))
    elif service == "timescaledb":
        where = location(state, service)
        provision(database_url(where, ADMIN, state.secret(ADMIN), ADMIN), state.secret)
    answer(state, service)
