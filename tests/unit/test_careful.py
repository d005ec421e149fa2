"""How a record that kills is told from its neighbours, on a sink in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.memory import MemorySink
from sinks.protocols import LOOK_BACK, Flush, Partition, Progress, SinkUnavailable, Suspicion, Written
from streams.agents.careful import quarantined, records_of
from streams.agents.caution import CautionPolicy, caution_about
from streams.agents.readings import FLUSHES_IN_HAND
from streams.core.batch import Messages
from streams.core.pipeline import Staged
from streams.core.rejection import MAX_QUARANTINED_BYTES, Reason
from streams.errors import ServiceUnavailable
from streams.transport.chunk import Chunk
from streams.transport.owner import LogBounds
from tests.unit.test_readings import TP0, Bench, chunk, on_bench, reading

P0 = Partition(*TP0)
POLICY = CautionPolicy(poison_after=3, rows=1000)


@pytest.mark.parametrize(
    ("suspicion", "alone", "poison"),
    [
        (Suspicion(1), False, None),
        (Suspicion(2), True, None),
        (Suspicion(0, 7, 1), True, None),
        (Suspicion(0, 7, 2), True, None),
        (Suspicion(0, 7, 3), True, 7),
        (Suspicion(9, 4, 3), True, None),
    ],
)
def test_how_much_caution_a_claim_asks_for(suspicion: Suspicion, alone: bool, poison: int | None) -> None:
    caution = caution_about(Progress(1, 5, "a", suspicion=suspicion), 99, POLICY)
    assert caution is not None
    assert (caution.alone, caution.poison, caution.until) == (alone, poison, 99)


@pytest.mark.parametrize("suspicion", [Suspicion(), Suspicion(0, 4, 3), Suspicion(0, 7, 0)])
def test_nothing_that_was_survived_asks_for_caution(suspicion: Suspicion) -> None:
    assert caution_about(Progress(1, 5, "a", suspicion=suspicion), 99, POLICY) is None


@given(st.lists(st.integers(1, 4), min_size=1, max_size=8), st.integers(0, 3))
def test_the_records_of_a_chunk_cover_its_offsets_without_a_gap(steps: list[int], tail: int) -> None:
    offsets = np.cumsum(steps) + 9
    count = len(steps)
    messages = Messages([b"x"] * count, [None] * count, offsets, np.zeros(count, np.int64))
    end = int(offsets[-1]) + 1 + tail
    parts = list(records_of(Chunk(TP0, 9, end, messages)))
    assert [part.base for part in parts] + [end] == [9] + [part.next for part in parts]
    assert [part.messages.offsets.tolist() for part in parts] == [[offset] for offset in offsets.tolist()]
    assert all(part.base <= part.messages.offsets[0] < part.next for part in parts)


def test_what_is_quarantined_keeps_every_byte() -> None:
    value = b"x" * (MAX_QUARANTINED_BYTES + 1)
    (letter,) = quarantined(Messages([value], [None], np.array([7]), np.array([0]))).decoded.rejections
    assert (letter.reason, letter.offset, letter.payload_bytes) == (Reason.POISON, 7, len(value))
    assert letter.payload == value[:-1]


def mortal(bench: Bench, deadly: int) -> None:
    """Let the stages raise what kills a worker when they see the record at that offset."""
    stages = bench.agent._stages

    def work(chunks: Sequence[Messages]) -> list[Staged]:
        if any(deadly in messages.offsets for messages in chunks):
            raise ZeroDivisionError("a defect")
        return stages(chunks)

    bench.agent._stages = work


async def lives(bench: Bench, end: int) -> bool:
    """Read everything after a claim as a new worker, and tell whether it survives."""
    owner = f"worker-{bench.store.progress[P0].epoch}"
    bench.agent.ownership.owner_id = owner
    # The former owner gave nothing up: it died.
    bench.agent.ownership.held.clear()
    bench.agent.flusher.forget(TP0)
    start = (await bench.agent.ownership.take_over({TP0: LogBounds(0, end)}))[TP0]
    try:
        await bench.agent.handle(chunk(start, end))
    except ZeroDivisionError:
        return False
    await bench.agent.flusher.drain()
    return True


def test_a_record_that_kills_is_found_and_only_that() -> None:
    async def scenario(bench: Bench) -> None:
        mortal(bench, deadly=13)
        died = 0
        while not await lives(bench, 20):
            died += 1
            assert died < 10
        assert died == 4, "after the one that held it at first"
        assert [(where, letter.offset, letter.reason) for where, letter in bench.store.dead_letters] == [
            (P0, 13, Reason.POISON)
        ]
        assert bench.store.dead_letters[0][1].payload == reading(13)
        assert bench.times() == [offset for offset in range(20) if offset != 13]
        assert bench.next_offset() == 20
        assert bench.store.progress[P0].suspicion == Suspicion()

    on_bench(scenario)


def is_careful(bench: Bench) -> bool:
    return bench.agent.ownership.held[TP0].caution is not None


def test_caution_ends_where_the_log_ended_at_the_claim() -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.progress[P0] = Progress(1, 0, "dead", suspicion=Suspicion(1, None, 0))
        await bench.agent.ownership.take_over({TP0: LogBounds(0, 20)})
        await bench.agent.handle(chunk(0, 10))
        assert is_careful(bench)
        assert bench.next_offset() == 10, "each chunk is stored before the next"
        await bench.agent.handle(chunk(10, 20))
        assert not is_careful(bench)
        assert bench.store.progress[P0].suspicion == Suspicion()

    on_bench(scenario, flush_s=60.0)


def test_caution_ends_after_what_a_worker_can_have_in_hands() -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.progress[P0] = Progress(1, 0, "dead", suspicion=Suspicion(1, None, 0))
        await bench.agent.ownership.take_over({TP0: LogBounds(0, 1_000_000)})
        for base in range(0, 10 * FLUSHES_IN_HAND, 10):
            assert is_careful(bench)
            await bench.agent.handle(chunk(base, base + 10))
        assert not is_careful(bench)

    on_bench(scenario, rows=10)


def script_outage(bench: Bench) -> None:
    def fail(_: Flush) -> Written:
        raise SinkUnavailable("a lock on readings")

    bench.sink.script = [fail]


def script_registry(bench: Bench) -> None:
    stages, troubles = bench.agent._stages, iter([True, False])

    def sometimes(chunks: Sequence[Messages]) -> list[Staged]:
        if next(troubles, False):
            raise ServiceUnavailable("the schema registry does not answer")
        return stages(chunks)

    bench.agent._stages = sometimes


@pytest.mark.parametrize("outage", [script_outage, script_registry])
def test_an_attempt_that_has_to_wait_for_a_service_is_not_counted(
    outage: Callable[[Bench], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.agents.readings.RETRY_EVERY_S", 0.001)

    async def scenario(bench: Bench) -> None:
        bench.store.progress[P0] = Progress(1, 0, "dead", suspicion=Suspicion(2, 0, 2))
        await bench.agent.ownership.take_over({TP0: LogBounds(0, 1_000_000)})
        outage(bench)
        seen: list[Suspicion] = []
        write = bench.sink.write

        def watch(flush: Flush) -> Written:
            seen.append(bench.store.progress[P0].suspicion)
            return write(flush)

        bench.sink.write = watch  # type: ignore[method-assign]
        await bench.agent.handle(chunk(0, 1))
        assert seen[-1] == Suspicion(), "whoever kills the worker now blames no record"
        assert bench.times() == [0]

    on_bench(scenario)


def test_an_attempt_is_noted_before_the_stages_see_the_record() -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.progress[P0] = Progress(1, 0, "dead", suspicion=Suspicion(2, None, 0))
        await bench.agent.ownership.take_over({TP0: LogBounds(0, 3)})
        stages, noted = bench.agent._stages, []

        def work(chunks: Sequence[Messages]) -> list[Staged]:
            (messages,) = chunks
            noted.append((messages.offsets.tolist(), bench.store.progress[P0].suspicion[1:3]))
            return stages(chunks)

        bench.agent._stages = work
        await bench.agent.handle(chunk(0, 3))
        assert noted == [([0], (0, 1)), ([1], (1, 1)), ([2], (2, 1))]

    on_bench(scenario)


def test_a_worker_that_dies_of_everything_is_itself_at_fault() -> None:
    async def scenario(bench: Bench) -> None:
        for offset in range(LOOK_BACK):
            letters = quarantined(chunk(offset, offset + 1).messages).decoded.rejections
            bench.store.dead_letters += [(P0, letter) for letter in letters]
        suspicion = Suspicion(3, LOOK_BACK, 3, LOOK_BACK)
        bench.store.progress[P0] = Progress(1, LOOK_BACK, "dead", suspicion=suspicion)
        assert await bench.agent.ownership.take_over({TP0: LogBounds(0, 20)}) == {}
        assert "--from stored" in bench.agent.ownership.halted[TP0].reason

    on_bench(scenario)


def test_a_worker_that_stops_begins_no_other_record() -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.progress[P0] = Progress(1, 0, "dead", suspicion=Suspicion(2, None, 0))
        await bench.agent.ownership.take_over({TP0: LogBounds(0, 20)})
        write = bench.sink.write

        def stop_then_write(flush: Flush) -> Written:
            bench.agent._careful.stop()
            return write(flush)

        bench.sink.write = stop_then_write  # type: ignore[method-assign]
        await bench.agent.handle(chunk(0, 20))
        assert bench.times() == [0]

    on_bench(scenario)


def test_who_was_fenced_leaves_the_record_to_the_next_owner() -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.progress[P0] = Progress(1, 0, "dead", suspicion=Suspicion(2, None, 0))
        await bench.agent.ownership.take_over({TP0: LogBounds(0, 20)})
        MemorySink(bench.store).claim(P0, "worker-b", 0, 20)
        await bench.agent.handle(chunk(0, 20))
        assert TP0 not in bench.agent.ownership.held
        assert bench.times() == []

    on_bench(scenario, reclaim_after_s=60.0)
