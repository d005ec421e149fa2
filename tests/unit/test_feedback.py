"""Thresholds from labels: none is lost that was true, and what is held back decides nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.detect.feedback import FEWEST, Label, suggestions

surprises = st.floats(1.25, 6.0)
labels = st.lists(st.tuples(surprises, st.booleans()), max_size=30).map(
    lambda told: [Label("load", day, surprise, true) for day, (surprise, true) in enumerate(told)]
)


@given(labels)
@settings(max_examples=60)
def test_no_earlier_true_one_is_lost_and_some_false_one_is_gone(told: list[Label]) -> None:
    for suggestion in suggestions(told):
        learnt, held_back = suggestion.learnt, suggestion.held_back
        assert learnt.true_left == learnt.true
        assert learnt.false_left < learnt.false
        assert sum(learnt[::2]) + sum(held_back[::2]) == len(told)


@given(labels)
@settings(max_examples=30)
def test_what_is_held_back_changes_no_threshold(told: list[Label]) -> None:
    split = len(told) - (len(told) + 2) // 3
    changed = [
        *told[:split],
        *(each._replace(surprise=7.0, true=not each.true) for each in told[split:]),
    ]

    assert [each.threshold for each in suggestions(told)] == [each.threshold for each in suggestions(changed)]


def test_metrics_have_thresholds_of_their_own() -> None:
    told = [
        Label(metric, day, 1.4 + day % 3 / 2, metric == "heat")
        for metric in ("load", "heat")
        for day in range(9)
    ]

    assert [(each.metric, each.threshold) for each in suggestions(told)] == [("load", 2.45)]


def test_few_labels_say_nothing() -> None:
    assert suggestions([Label("load", day, 1.3, False) for day in range(FEWEST - 1)]) == []
