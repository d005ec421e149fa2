"""Expressions: what is allowed, what is refused in which words, and what they give."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.expression import Aggregate, ExpressionError, parse_expression

REFUSED = {
    "": "cannot be read",
    "mean(a) +": "cannot be read",
    "mean(a); mean(b)": "cannot be read",
    "mean(a)\0": "cannot be read",
    "(" * 250 + "mean(a)" + ")" * 240: "cannot be read",
    "power": "Of a metric say which aggregate: mean(power).",
    "1 + bucket_s": "it is of no metric",
    "mean(a) ** 2": "not allowed",
    "mean(a) ** 9 ** 9 ** 9": "not allowed",
    "mean(a) % 2": "not allowed",
    "mean(a) << 9": "not allowed",
    "~mean(a)": "not allowed",
    "mean(a) < 2": "not allowed",
    "mean(a) if mean(b) else 1": "not allowed",
    "mean(a) or 1": "not allowed",
    "().__class__": "not allowed",
    "mean(a).real": "not allowed",
    "mean(a)[0]": "not allowed",
    "(lambda: mean(a))()": "not allowed",
    "[mean(a) for x in 'a']": "not allowed",
    "f'{mean(a)}'": "not allowed",
    "__import__('os')": "not allowed",
    "eval('mean(a)')": "not allowed",
    "sqrt(mean(a), out=mean(b))": "not allowed",
    "sqrt(mean(a), 2)": "not allowed",
    "sqrt(*mean(a))": "not allowed",
    "mean(a) + 'b'": "not allowed",
    "mean(a) + True": "not allowed",
    "mean(a) + 1j": "not allowed",
    "mean(a) + None": "not allowed",
    "mean(a) + 1e999": "beyond 1e+140",
    "mean(a) + " + "9" * 200: "beyond 1e+140",
    "mean(mean(a))": "of one metric",
    "mean()": "of one metric",
    "mean(a, b)": "of one metric",
    "mean('')": "of one metric",
    "mean(bucket_s)": "of one metric",
    "-" * 400 + "mean(a)": "nested more than 50 deep",
    "~" * 400 + "mean(a)": "nested more than 50 deep",
    "mean(\ufb01)": "'\ufb01' is no plain word",
    "mean(gr\u00f6\u00dfe)": "is no plain word",
    "mean(a)" + ("+(1" + "+1" * 20 + ")") * 5: "has 212 parts, 100 are allowed",
    "mean(a) + " + "1" * 500: "characters",
}


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_is_not_arithmetic_of_metrics_is_refused_in_words(text: str) -> None:
    with pytest.raises(ExpressionError) as refused:
        parse_expression(text)

    assert REFUSED[text] in str(refused.value)


def test_a_metric_may_be_called_as_the_width_of_buckets_is() -> None:
    assert value_of("mean('bucket_s') / bucket_s", bucket_s=450.0) == 0.5


def value_of(text: str, **columns: float) -> float:
    """Return what an expression of means gives for one row."""
    of_each = {Aggregate("mean", name): np.array([value]) for name, value in columns.items()}
    (value,), (some,) = parse_expression(text).evaluate(of_each, bucket_s=900)
    assert some == (not math.isnan(value))
    return float(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("mean(a) / mean(b) - 1", 2.0),
        ("-mean(a) * (mean(b) + 4)", -63.0),
        ("1 - mean(a) / bucket_s + mean(b) * 0", 0.99),
        ("least(1, mean(a)) + greatest(mean(b), 5)", 6.0),
        ("abs(-mean(a)) + sqrt(mean(a)) + mean(b) * 0", 12.0),
        ("log(exp(mean('a'))) + 0x10 + 1_0 + mean(b) * 0", 35.0),
    ],
)
def test_it_gives_what_its_words_say(text: str, value: float) -> None:
    assert value_of(text, a=9.0, b=3.0) == pytest.approx(value)


@pytest.mark.parametrize(
    "text",
    [
        "mean(a) / mean(b)",
        "1 / (1 / mean(b)) + mean(a)",
        "least(1, 5 / mean(b)) * mean(a)",
        "sqrt(mean(b) - 1) + mean(a)",
        "log(mean(b)) * 0 + mean(a)",
        "1 / exp(mean(a) * 1e9) + mean(b)",
        "1 / (mean(a) * 1e140 * 1e140 * 1e140) + mean(b)",
    ],
)
def test_where_a_step_has_no_number_there_is_no_result_whatever_follows(text: str) -> None:
    assert math.isnan(value_of(text, a=9.0, b=0.0))


@settings(max_examples=60, deadline=None)
@given(st.text("ma()+-*/.1'\"_:=[]{}, \nbcdel", max_size=60))
def test_any_text_is_refused_or_computed(text: str) -> None:
    try:
        expression = parse_expression(text)
    except ExpressionError:
        return
    columns = {need: np.array([1.0, 0.0, math.nan]) for need in expression.needs}
    value, some = expression.evaluate(columns, 60)
    assert np.array_equal(np.isfinite(value), some) and not some[2]
