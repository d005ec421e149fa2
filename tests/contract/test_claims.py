"""What every ``ReadingsSink`` promises about claims, halts and records under suspicion."""

from __future__ import annotations

import pytest

from sinks.protocols import Fenced, HaltKind, Part, Progress, ReadingsSink, Suspicion
from streams.core.rejection import WHOLE_RECORD, Reason, Rejection
from streams.core.series import SeriesTable
from tests.builders import P0, P1, columns, flush_of, series_table
from tests.contract.places import Place


def die(place: Place, owner: str, end: int = 100) -> Progress:
    """Claim as a worker that then ends without a word."""
    return place.sink(owner).claim(P0, owner, 0, end)


def store(sink: ReadingsSink, epoch: int, base: int, end: int) -> None:
    sink.write(flush_of(SeriesTable(), Part(P0, epoch, base, end)))


def test_the_id_of_a_topic_is_adopted_once_and_then_kept(place: Place) -> None:
    sink = place.sink("a")
    assert sink.claim(P0, "a", 0).topic_id is None
    assert sink.claim(P0, "a", 0, 9, "first").topic_id == "first"
    assert sink.claim(P0, "a", 0, 9, "second").topic_id == "first"
    assert sink.claim(P0, "a", 0, 9).topic_id == "first"
    assert sink.progress([P0])[P0].topic_id == "first"


def test_a_halt_fences_its_owner_and_outlives_every_claim(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    sink.claim(P1, "a", 0)
    sink.halt(P0, 1, HaltKind.TRUNCATED, "the log ended")
    with pytest.raises(Fenced):
        store(sink, 1, 0, 1)
    stored = sink.progress([P0, P1])
    assert (stored[P0].halted, stored[P0].epoch) == ("the log ended", 2)
    assert stored[P1].halted == ""
    assert place.sink("b").claim(P0, "b", 0).halted == "the log ended"


def test_a_former_owner_halts_nothing(place: Place) -> None:
    former = place.sink("a")
    former.claim(P0, "a", 0)
    place.sink("b").claim(P0, "b", 0)
    with pytest.raises(Fenced):
        former.halt(P0, 1, HaltKind.DELETED, "gone")
    assert former.progress([P0])[P0].halted == ""


def test_an_owner_that_ends_before_it_stored_anything_is_a_strike(place: Place) -> None:
    strikes = [die(place, owner).suspicion.strikes for owner in ("a", "b", "c", "d")]
    assert strikes == [0, 1, 2, 3]


def test_an_owner_that_stored_something_is_none(place: Place) -> None:
    sink = place.sink("a")
    store(sink, sink.claim(P0, "a", 0, 100).epoch, 0, 1)
    assert die(place, "b").suspicion.strikes == 0


def test_after_a_strike_one_that_stored_something_is_another(place: Place) -> None:
    die(place, "a")
    sink = place.sink("b")
    store(sink, sink.claim(P0, "b", 0, 100).epoch, 0, 1)
    assert die(place, "c").suspicion.strikes == 2


def test_an_owner_that_had_nothing_to_read_is_none(place: Place) -> None:
    die(place, "a", end=0)
    assert die(place, "b", end=0).suspicion.strikes == 0


def test_who_releases_a_partition_or_claims_it_again_did_not_die(place: Place) -> None:
    die(place, "a")
    sink = place.sink("b")
    assert sink.claim(P0, "b", 0, 100).suspicion.strikes == 1
    assert sink.claim(P0, "b", 0, 100).suspicion.strikes == 1
    sink.release(P0)
    assert die(place, "c").suspicion.strikes == 1, "nor does it prove that the records are good"


def test_attempts_at_one_record_are_counted_and_those_at_the_next_begin_anew(place: Place) -> None:
    for owner, attempts in (("a", 0), ("b", 1), ("c", 2)):
        sink = place.sink(owner)
        claimed = sink.claim(P0, owner, 0, 100)
        assert claimed.suspicion.attempts == attempts
        sink.attempt(P0, claimed.epoch, 7)
    store(sink, claimed.epoch, 0, 8)
    sink.attempt(P0, claimed.epoch, 8)
    assert die(place, "d").suspicion[1:] == (8, 1, 0)


def test_an_attempt_under_way_when_its_owner_goes_in_good_order_is_taken_back(place: Place) -> None:
    sink = place.sink("a")
    sink.attempt(P0, sink.claim(P0, "a", 0, 100).epoch, 7)
    sink.release(P0)
    again = place.sink("b")
    claimed = again.claim(P0, "b", 0, 100)
    assert claimed.suspicion.attempts == 0
    again.attempt(P0, claimed.epoch, 7)
    store(again, claimed.epoch, 0, 8)
    again.release(P0)
    assert die(place, "c").suspicion.attempts == 1, "what was survived is not taken back"


def test_who_is_fenced_attempts_and_absolves_nothing(place: Place) -> None:
    former = place.sink("a")
    former.claim(P0, "a", 0, 100)
    owner = place.sink("b")
    owner.attempt(P0, owner.claim(P0, "b", 0, 100).epoch, 7)
    with pytest.raises(Fenced):
        former.attempt(P0, 1, 7)
    former.absolve(P0, 1)
    former.release(P0)
    assert die(place, "c").suspicion == Suspicion(2, 7, 1)


def test_what_is_absolved_is_forgotten(place: Place) -> None:
    die(place, "a")
    sink = place.sink("b")
    claimed = sink.claim(P0, "b", 0, 100)
    sink.attempt(P0, claimed.epoch, 7)
    sink.absolve(P0, claimed.epoch)
    store(sink, claimed.epoch, 0, 1)
    assert die(place, "c").suspicion == Suspicion()


def test_a_claim_tells_how_many_records_right_before_were_quarantined(place: Place) -> None:
    sink = place.sink("a")
    epoch = sink.claim(P0, "a", 0, 100).epoch
    letters = [
        Rejection.of(offset, WHOLE_RECORD, reason, "", b"")
        for offset, reason in ((0, Reason.POISON), (1, Reason.POISON), (4, Reason.POISON), (6, Reason.EMPTY))
    ]
    sink.write(flush_of(series_table("rpm"), Part(P0, epoch, 0, 7, [columns([0])], letters)))
    sink.attempt(P0, epoch, 6)
    assert die(place, "b").suspicion.quarantined == 2, "1 and 4 of the five before 6"
