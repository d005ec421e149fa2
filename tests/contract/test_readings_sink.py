"""What every ``ReadingsSink`` promises, asked of each adapter."""

from __future__ import annotations

import math

import pytest

from sinks.memory import StoredReading
from sinks.protocols import Fenced, Part, Partition, Progress, Written
from streams.core.batch import Columns
from streams.core.rejection import WHOLE_RECORD, Reason, Rejection
from streams.core.series import SeriesKey, SeriesTable
from tests.builders import BASE_US, P0, P1, columns, flush_of, series_table
from tests.contract.places import Place

EMPTY = Rejection.of(2, WHOLE_RECORD, Reason.EMPTY, "no value", b"")


def test_the_first_claim_of_a_partition_starts_it(place: Place) -> None:
    assert place.sink("a").claim(P0, "a", 7) == Progress(epoch=1, next_offset=7, owner="a")


def test_a_later_claim_raises_the_epoch_and_keeps_the_stored_offset(place: Place) -> None:
    place.sink("a").claim(P0, "a", 7)
    assert place.sink("b").claim(P0, "b", 99) == Progress(epoch=2, next_offset=7, owner="b")


def test_progress_is_that_of_claimed_partitions_alone(place: Place) -> None:
    sink = place.sink("a")
    claimed = sink.claim(P0, "a", 7)
    assert sink.progress([P0, P1]) == {P0: claimed}
    assert sink.progress([]) == {}


def test_a_flush_makes_readings_dead_letters_and_progress_visible(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    part = Part(P0, 1, 0, 3, [columns([0, 1])], [EMPTY])
    assert sink.write(flush_of(series_table("rpm", "load"), part)) == Written(2, 1)
    assert place.readings() == [
        StoredReading(("default", "pump-1", "load"), BASE_US + 1000, 1.0, 0),
        StoredReading(("default", "pump-1", "rpm"), BASE_US, 0.0, 0),
    ]
    assert place.dead_letters() == [(P0, EMPTY)]
    assert sink.progress([P0]) == {P0: Progress(1, 3, "a")}


def test_a_part_may_hold_several_columns(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    later = columns([0], time_us=[BASE_US + 1], value=[5.0])
    sink.write(flush_of(series_table("rpm"), Part(P0, 1, 0, 2, [columns([0]), later])))
    assert [reading.value for reading in place.readings()] == [0.0, 5.0]


def test_a_flush_that_was_written_is_refused_the_second_time(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    flush = flush_of(series_table("rpm"), Part(P0, 1, 0, 2, [columns([0, 0])], [EMPTY]))
    sink.write(flush)
    with pytest.raises(Fenced):
        sink.write(flush)
    assert len(place.readings()) == 2
    assert len(place.dead_letters()) == 1


def test_a_flush_that_skips_offsets_is_refused(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    with pytest.raises(Fenced):
        sink.write(flush_of(series_table("rpm"), Part(P0, 1, 1, 2, [columns([0])])))
    assert place.readings() == []


def test_a_former_owner_writes_nothing(place: Place) -> None:
    former, owner = place.sink("a"), place.sink("b")
    former.claim(P0, "a", 0)
    owner.claim(P0, "b", 0)
    with pytest.raises(Fenced):
        former.write(flush_of(series_table("rpm"), Part(P0, 1, 0, 1, [columns([0])])))
    assert place.readings() == []
    owner.write(flush_of(series_table("rpm"), Part(P0, 2, 0, 1, [columns([0])])))
    assert len(place.readings()) == 1


def test_a_partition_that_nobody_claimed_is_refused(place: Place) -> None:
    with pytest.raises(Fenced):
        place.sink("a").write(flush_of(series_table("rpm"), Part(P0, 1, 0, 1, [columns([0])])))


def test_a_sink_goes_on_after_it_was_fenced(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    with pytest.raises(Fenced):
        sink.write(flush_of(series_table("rpm"), Part(P0, 9, 0, 1, [columns([0])])))
    assert sink.write(flush_of(series_table("rpm"), Part(P0, 1, 0, 1, [columns([0])]))) == Written(1, 0)


def test_a_part_without_readings_moves_progress(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    assert sink.write(flush_of(SeriesTable(), Part(P0, 1, 0, 4))) == Written(0, 0)
    assert sink.progress([P0]) == {P0: Progress(1, 4, "a")}


def test_a_flush_without_parts_writes_nothing(place: Place) -> None:
    assert place.sink("a").write(flush_of(SeriesTable())) == Written(0, 0)


def test_parts_of_several_partitions_are_written_together(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P1, "a", 0)
    sink.claim(P0, "a", 10)
    parts = [Part(P1, 1, 0, 1, [columns([0])], [EMPTY]), Part(P0, 1, 10, 12, [columns([1, 1])])]
    assert sink.write(flush_of(series_table("rpm", "load"), *parts)) == Written(3, 1)
    assert sink.progress([P0, P1]) == {P0: Progress(1, 12, "a"), P1: Progress(1, 1, "a")}
    assert place.dead_letters() == [(P1, EMPTY)]


@pytest.mark.parametrize("fenced", [P0, P1])
def test_one_fenced_part_keeps_out_all_that_is_stored_with_it(place: Place, fenced: Partition) -> None:
    sink, (other,) = place.sink("a"), {P0, P1} - {fenced}
    sink.claim(P0, "a", 0)
    sink.claim(P1, "a", 0)
    taken = place.sink("b").claim(fenced, "b", 0)
    parts = [
        Part(P0, 1, 0, 1, [columns([0])], [EMPTY]),
        Part(P1, 1, 0, 2, [columns([1, 1], time_us=[BASE_US, BASE_US + 1])], [EMPTY]),
    ]
    with pytest.raises(Fenced):
        sink.write(flush_of(series_table("rpm", "load"), *parts))
    stored = sink.progress([P0, P1])
    assert stored[fenced] == taken
    if place.together:
        assert stored[other] == Progress(1, 0, "a")
        assert (place.readings(), place.dead_letters()) == ([], [])
    else:
        (whole,) = (part for part in parts if part.partition == other)
        assert stored[other] == Progress(1, whole.next, "a")
        assert len(place.readings()) == len(whole.columns[0])
        assert place.dead_letters() == [(other, EMPTY)]


def test_a_reading_without_a_value_is_stored_as_not_a_number(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    sink.write(
        flush_of(series_table("rpm"), Part(P0, 1, 0, 1, [columns([0], value=[math.nan], quality=[2])]))
    )
    (reading,) = place.readings()
    assert math.isnan(reading.value)
    assert reading.quality == 2


@pytest.mark.parametrize("time_us", [946_684_800_000_000, 4_102_444_799_999_999, 1_760_000_000_123_457])
def test_event_times_are_exact_to_the_microsecond(place: Place, time_us: int) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    sink.write(flush_of(series_table("rpm"), Part(P0, 1, 0, 1, [columns([0], time_us=[time_us])])))
    assert place.readings()[0].time_us == time_us


@pytest.mark.parametrize("name", ["Übertemperatur", "温度", "a'b\"c", "{a,b}", "a\\b", "🌡", "NULL", "%s"])
def test_names_are_stored_as_they_are(place: Place, name: str) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    key = SeriesKey(name, name, name, ((name, name),))
    sink.write(flush_of(series_table(key), Part(P0, 1, 0, 1, [columns([0])])))
    assert place.readings()[0].series == (name, name, name)
    assert place.attributes(name) == {name: name}


def test_a_dead_letter_keeps_every_byte_of_its_payload(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    letter = Rejection.of(0, 3, Reason.UNDECODABLE, 'first byte 0xff, "quoted"', bytes(range(256)))
    sink.write(flush_of(SeriesTable(), Part(P0, 1, 0, 1, [], [letter])))
    assert place.dead_letters() == [(P0, letter)]


def test_what_is_said_about_a_series_is_merged_and_the_last_word_counts(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    table = series_table(
        SeriesKey("default", "pump-1", "rpm", (("site", "Ulm"), ("unit", "1/min"))),
        SeriesKey("default", "pump-1", "rpm", (("unit", "rpm"),)),
    )
    sink.write(flush_of(table, Part(P0, 1, 0, 2, [columns([0, 1])])))
    assert {reading.series for reading in place.readings()} == {("default", "pump-1", "rpm")}
    assert place.attributes("rpm") == {"site": "Ulm", "unit": "rpm"}
    table.intern(SeriesKey("default", "pump-1", "rpm", (("unit", "Hz"),)))
    sink.write(flush_of(table, Part(P0, 1, 2, 3, [columns([2])])))
    assert place.attributes("rpm") == {"site": "Ulm", "unit": "Hz"}


def test_another_table_gives_the_same_indices_to_other_series(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    sink.write(flush_of(series_table("rpm", "load"), Part(P0, 1, 0, 1, [columns([0, 1])])))
    later = columns([0, 1], time_us=[BASE_US + 10**6] * 2)
    sink.write(flush_of(series_table("heat", "load"), Part(P0, 1, 1, 2, [later])))
    assert [reading.series[2] for reading in place.readings()] == ["heat", "load", "load", "rpm"]


def test_a_table_grows_while_it_is_in_use(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    table = series_table("m0")
    for number in range(1, 20):
        table.intern(SeriesKey("default", "pump-1", f"m{number}"))
        part = Part(P0, 1, number - 1, number, [columns([number, number - 1])])
        assert sink.write(flush_of(table, part)) == Written(2, 0)
    assert len({reading.series for reading in place.readings()}) == 20


def test_readings_of_series_beyond_the_limit_are_dead_letters(place: Place) -> None:
    sink = place.sink("a", max_series_per_tenant=2)
    sink.claim(P0, "a", 0)
    sink.claim(P1, "a", 0)
    table = series_table("a", "b", "c", "d", SeriesKey("other", "pump-1", "e"))
    first = columns([0, 2, 1, 4], offset=[0, 0, 1, 1], index=[0, 1, 0, 1])
    second = columns([3, 0, 2], offset=[5, 6, 6], index=[0, 0, 4])
    flush = flush_of(table, Part(P0, 1, 0, 2, [first], [EMPTY]), Part(P1, 1, 0, 7, [second]))
    assert sink.write(flush) == Written(3, 4, forwarded=1)
    assert [reading.series[2] for reading in place.readings()] == ["a", "b", "e"]
    assert [(p, r.offset, r.index, r.reason) for p, r in place.dead_letters()] == [
        (P0, 0, 1, Reason.SERIES_LIMIT),
        (P0, 2, WHOLE_RECORD, Reason.EMPTY),
        (P1, 5, 0, Reason.SERIES_LIMIT),
        (P1, 6, 4, Reason.SERIES_LIMIT),
    ]
    assert b'"metric":"d"' in place.dead_letters()[2][1].payload
    assert [(letter.offset, letter.index) for part in flush.parts for letter in part.refused] == [
        (0, 1),
        (5, 0),
        (6, 4),
    ]


def test_series_within_the_limit_go_on_after_it_was_reached(place: Place) -> None:
    sink = place.sink("a", max_series_per_tenant=1)
    sink.claim(P0, "a", 0)
    table = series_table("a", "b")
    assert sink.write(flush_of(table, Part(P0, 1, 0, 1, [columns([0, 1])]))) == Written(1, 1)
    assert sink.write(flush_of(table, Part(P0, 1, 1, 2, [columns([1, 0])]))) == Written(1, 1)


def test_topics_do_not_share_progress(place: Place) -> None:
    sink = place.sink("a")
    other = Partition("other", 0)
    sink.claim(P0, "a", 3)
    sink.claim(other, "a", 5)
    sink.write(flush_of(SeriesTable(), Part(other, 1, 5, 6)))
    assert sink.progress([P0, other]) == {P0: Progress(1, 3, "a"), other: Progress(1, 6, "a")}


def stamped(series: list[int], seconds: list[float], **given: list[float]) -> Columns:
    """Return readings whose Kafka timestamps are their offsets in seconds."""
    times = [BASE_US + round(second * 1_000_000) for second in seconds]
    stamps = [BASE_US // 1000 + 1000 * offset for offset in given["offset"]]
    return columns(series, time_us=times, stamp_ms=stamps, **given)


def test_a_late_reading_is_stored_and_flagged_and_its_minute_marked(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    sink.claim(P1, "a", 0)
    table = series_table("rpm", "load", "heat")
    early = stamped([0, 0, 1], [0, 100, 100], offset=[0, 100, 101], value=[1.0, 2.0, 3.0])
    other = stamped([2], [0], offset=[0])
    flush = flush_of(table, Part(P0, 1, 0, 102, [early]), Part(P1, 1, 0, 1, [other]))
    assert sink.write(flush) == Written(4, released=1)
    # The watermark has come to 90 s; the minutes begin at 40 s and 100 s.
    late = stamped([0, 1, 1, 0], [89.9, 20, 30, 90], offset=[102] * 4)
    flush = flush_of(table, Part(P0, 1, 102, 103, [late]), Part(P1, 1, 1, 1))
    assert sink.write(flush) == Written(4, late=3)
    assert [(r.series[2], (r.time_us - BASE_US) / 1_000_000) for r in place.readings() if r.late] == [
        ("load", 20.0),
        ("load", 30.0),
        ("rpm", 89.9),
    ]
    assert place.dirty() == [("load", BASE_US - 20_000_000), ("rpm", BASE_US + 40_000_000)]
    assert place.late_by(P0) == {10.0: 1, 60.0: 1, 600.0: 1}
    assert place.late_by(P1) == {}


def test_a_late_correction_replaces_the_value_and_marks_its_minute(place: Place) -> None:
    sink = place.sink("a")
    sink.claim(P0, "a", 0)
    table = series_table("rpm")
    first = stamped([0, 0], [0, 100], offset=[0, 100])
    sink.write(flush_of(table, Part(P0, 1, 0, 101, [first])))
    corrected = stamped([0, 0], [0, 100], offset=[101, 101], value=[8.0, 9.0], revision=[1, 1])
    assert sink.write(flush_of(table, Part(P0, 1, 101, 102, [corrected]))) == Written(
        corrections=2, released=1
    )
    assert place.dirty() == [("rpm", BASE_US - 20_000_000)]
    assert [(reading.value, reading.late) for reading in place.readings()] == [(8.0, False), (9.0, False)]


def test_what_one_flush_brings_of_one_late_identity_is_judged_in_turn(place: Place) -> None:
    table = series_table("rpm")
    former = place.sink("a")
    former.claim(P0, "a", 0)
    former.write(flush_of(table, Part(P0, 1, 0, 101, [stamped([0, 0], [0, 100], offset=[0, 100])])))
    owner = place.sink("b")  # remembers nothing that is as old
    owner.claim(P0, "b", 0)
    again = stamped(
        [0] * 6, [50] * 6, offset=[101] * 6, value=[1.0, 1.0, 2.0, 2.0, 3.0, 4.0], revision=[0, 0, 1, 1, 0, 2]
    )
    assert owner.write(flush_of(table, Part(P0, 2, 101, 102, [again]))) == Written(
        1, dead_letters=1, duplicates=2, corrections=2, late=1, released=1
    )
    assert [(r.value, r.late) for r in place.readings()] == [(0.0, False), (4.0, True), (1.0, False)]
    assert [letter.reason for _, letter in place.dead_letters()] == [Reason.CONFLICT]
    assert place.dirty() == [("rpm", BASE_US + 40_000_000)]


def test_the_next_owner_goes_on_with_the_watermark_and_what_was_not_released(place: Place) -> None:
    table = series_table("rpm", "load")
    former = place.sink("a")
    former.claim(P0, "a", 0)
    begun = stamped([0, 0, 1], [0, 95, 100], offset=[0, 99, 100], producer=[0, 0, 0])
    assert former.write(flush_of(table, Part(P0, 1, 0, 101, [begun]))) == Written(3, released=1)
    owner = place.sink("b")
    owner.claim(P0, "b", 0)
    going_on = stamped([0, 1, 1], [84.9, 94, 120], offset=[101, 101, 120])
    assert owner.write(flush_of(table, Part(P0, 2, 101, 121, [going_on]))) == Written(3, late=1, released=0)
    assert owner.write(
        flush_of(table, Part(P0, 2, 121, 130, [stamped([0], [130], offset=[129])]))
    ) == Written(1, released=3)
