"""Services that the user has already: named in the environment, checked, and left alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from infra.stack.backend import Status
from infra.stack.errors import NotReady, StackError
from infra.stack.readiness import database_answers, kafka_answers, redis_answers


@dataclass(frozen=True)
class Kind:
    """How a service of the user's own is found and asked."""

    settings: tuple[str, ...]
    check: Callable[[str], None]


# The first setting decides; the others default to it.
KINDS: Final = {
    "kafka": Kind(("kafka",), kafka_answers),
    "timescaledb": Kind(("database_url", "writer_url", "reader_url"), database_answers),
    "redis": Kind(("redis_url",), redis_answers),
}


@dataclass(frozen=True)
class External:
    """One service of the user's own."""

    name: str
    addresses: dict[str, str]

    @property
    def address(self) -> str:
        """Where it is, without a password."""
        first = next(iter(self.addresses.values()))
        return urlsplit(first).netloc.rpartition("@")[2] if "://" in first else first

    def status(self) -> Status:
        """Ask whether it answers."""
        check = KINDS[self.name].check
        try:
            for address in dict.fromkeys(self.addresses.values()):
                check(address)
        except NotReady as error:
            return Status(self.name, "external", "failing", self.address, detail=str(error))
        return Status(self.name, "external", "serving", self.address)

    def check(self) -> None:
        """Raise :class:`StackError` if it does not answer."""
        status = self.status()
        if status.state != "serving":
            variable = variable_of(KINDS[self.name].settings[0])
            raise StackError(
                f"{self.name} at {self.address}, which {variable} names, does not answer: {status.detail}",
                hint=f"Start it, correct {variable}, or unset it to have one started here.",
            )


def variable_of(setting: str) -> str:
    """Return the environment variable of a setting.

    >>> variable_of("redis_url")
    'STREAMGAUGE_REDIS_URL'
    """
    return f"STREAMGAUGE_{setting.upper()}"


def find_external(environment: Mapping[str, str], own: Mapping[str, str]) -> dict[str, External]:
    """Return the services that ``environment`` names and that are not the stack's ``own``.

    ``eval "$(streamgauge stack env)"`` exports the stack's own addresses; those are not external.
    """
    found = {}
    for name, kind in KINDS.items():
        first, *others = kind.settings
        value = environment.get(variable_of(first))
        if value and value != own.get(first):
            addresses = {first: value}
            addresses |= {setting: environment.get(variable_of(setting)) or value for setting in others}
            found[name] = External(name, addresses)
    return found
