"""Which rules watch a series: by the kind of its metric, or as settings say of its name."""

from __future__ import annotations

from enum import IntFlag
from fnmatch import fnmatchcase
from typing import NamedTuple


class Rule(IntFlag):
    """What a series is watched for; each rule has episodes of its own."""

    VALUE = 1
    RATE = 2
    STUCK = 4
    SILENCE = 8
    RESETS = 16
    NEW_STATE = 32
    FLAPPING = 64


LIKELIHOOD = Rule.VALUE | Rule.RATE
"""The two that go by how likely numbers are: of the values, or of how fast they rise."""

KINDS = {
    "gauge": Rule.VALUE | Rule.STUCK | Rule.SILENCE,
    "counter": Rule.RATE | Rule.RESETS | Rule.STUCK | Rule.SILENCE,
    "state": Rule.NEW_STATE | Rule.FLAPPING | Rule.SILENCE,
    "none": Rule(0),
}
"""What metrics are watched for by default: those of the kinds that table ``metrics`` knows, and of none."""


class RuleError(ValueError):
    """Nobody knows such rules: write pattern=kind or pattern=rule+rule, separated by commas."""


class Override(NamedTuple):
    """What metrics whose names are like ``pattern`` are watched for; ``*`` stands for any letters."""

    pattern: str
    rules: Rule


def parse_overrides(text: str) -> tuple[Override, ...]:
    """Return what a text says of metrics. Raises :class:`RuleError`.

    >>> [override.pattern for override in parse_overrides("door.*=state, *.errors=rate+silence")]
    ['door.*', '*.errors']
    """
    overrides = []
    for part in filter(None, map(str.strip, text.split(","))):
        pattern, equals, names = part.partition("=")
        if not equals or not pattern.strip():
            raise RuleError(
                f"{part!r} says nothing: write pattern=kind or pattern=rule+rule, like *.errors=rate"
            )
        overrides.append(Override(pattern.strip(), parse_rules(names)))
    return tuple(overrides)


def rules_of(metric: str, kind: str = "gauge", overrides: tuple[Override, ...] = ()) -> Rule:
    """Return what a metric is watched for: what the first that fits says, else what is usual for its kind.

    >>> rules_of("door.front", overrides=parse_overrides("door.*=stuck")).name
    'STUCK'
    """
    return next((each.rules for each in overrides if fnmatchcase(metric, each.pattern)), KINDS[kind])


def parse_rules(names: str) -> Rule:
    """Return the rules of a kind, or of names with + between them. Raises :class:`RuleError`.

    >>> parse_rules("rate+stuck") == Rule.RATE | Rule.STUCK
    True
    """
    rules = Rule(0)
    for name in map(str.strip, names.split("+")):
        known = KINDS.get(name) if name in KINDS else Rule.__members__.get(name.upper())
        if known is None:
            raise RuleError(f"{name!r} is no rule: write any of {_KNOWN}")
        rules |= known
    if LIKELIHOOD in rules:
        raise RuleError(f"{names!r} asks for value and rate: a series is watched for one of them")
    return rules


_KNOWN = ", ".join([*KINDS, *(rule.name.lower() for rule in Rule if rule.name)])
