"""Which rules a metric has, by kind and by name."""

from __future__ import annotations

import pytest

from streams.core.detect.rules import KINDS, Rule, RuleError, parse_overrides, rules_of


def test_a_kind_has_rules_without_being_told() -> None:
    assert rules_of("cpu") == Rule.VALUE | Rule.STUCK | Rule.SILENCE
    assert rules_of("bytes", "counter") == Rule.RATE | Rule.RESETS | Rule.STUCK | Rule.SILENCE
    assert rules_of("door", "state") == Rule.NEW_STATE | Rule.FLAPPING | Rule.SILENCE


def test_the_first_pattern_that_fits_decides() -> None:
    overrides = parse_overrides("*.errors=rate+silence, net.*=none ,door=state")

    assert rules_of("net.errors", "gauge", overrides) == Rule.RATE | Rule.SILENCE
    assert rules_of("net.bytes", "counter", overrides) == Rule(0)
    assert rules_of("door", "gauge", overrides) == KINDS["state"]
    assert rules_of("doors", "gauge", overrides) == KINDS["gauge"]


def test_nothing_said_changes_nothing() -> None:
    assert parse_overrides(" ") == ()


@pytest.mark.parametrize("text", ["cpu", "=value", "cpu=fast", "cpu=value+rate", "cpu=", "cpu=gauge+rate"])
def test_what_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(RuleError, match=r"write|watched for one"):
        parse_overrides(text)
