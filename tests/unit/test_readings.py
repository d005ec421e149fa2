"""The ingest agent, its flushes and its claims, on a sink in memory whose failures are scripted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from faust.types import TP

from sinks.memory import MemorySink, MemoryStore
from sinks.protocols import Flush, Part, Partition, Progress, SinkUnavailable, Written
from streams.agents.flush import GATHER_AT_MOST_S, FlushPolicy
from streams.agents.guard import Guard
from streams.agents.ownership import Held, Verdict
from streams.agents.patience import Patience
from streams.agents.readings import TOGETHER_BYTES, ReadingsAgent, together
from streams.agents.sink_thread import SinkThread
from streams.core.batch import Messages
from streams.core.limits import Limits
from streams.core.pipeline import Pipeline, Staged
from streams.errors import ServiceUnavailable
from streams.transport.chunk import Chunk
from streams.transport.owner import LogBounds

TP0, TP1 = TP("readings", 0), TP("readings", 1)
WHOLE_LOG = LogBounds(0, 1_000_000)
STAMP_MS = 1_769_860_800_000


def reading(offset: int) -> bytes:
    return b'{"source":"pump","metric":"rpm","time":%d,"value":1}' % (STAMP_MS * 1000 + offset)


def chunk(base: int, end: int, tp: TP = TP0, values: Sequence[bytes] | None = None) -> Chunk:
    texts = [reading(offset) for offset in range(base, end)] if values is None else values
    offsets = np.arange(base, base + len(texts))
    return Chunk(
        tp, base, end, Messages(texts, [b"plc"] * len(texts), offsets, np.full(len(texts), STAMP_MS))
    )


class ScriptedSink(MemorySink):
    """A sink in memory that fails as told: each entry of ``script`` runs instead of one write."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.script: list[Callable[[Flush], Written]] = []
        self.flushes = 0

    def write(self, flush: Flush) -> Written:
        self.flushes += 1
        return self.script.pop(0)(flush) if self.script else super().write(flush)

    def commit_and_lose_the_answer(self, flush: Flush) -> Written:
        lost = SinkUnavailable("the connection was lost at COMMIT")
        for part in flush.parts:
            lost.sent = {**lost.sent, part.partition: super().write(replace(flush, parts=[part]))}
        raise lost

    def lose_the_connection(self, flush: Flush) -> Written:
        raise SinkUnavailable(f"lost before the commit of {len(flush.parts)} parts")


@dataclass
class Bench:
    """An agent on a scripted sink, and what it asked of its consumer."""

    store: MemoryStore
    sink: ScriptedSink
    agent: ReadingsAgent
    fatal: asyncio.Future[None]
    relocated: list[tuple[TP, int]] = field(default_factory=list)
    reclaimed: list[TP] = field(default_factory=list)
    held_back: list[TP] = field(default_factory=list)
    topic_id: str | None = "first"
    topic_ids_fail: int = 0
    counted: int = 0

    def stored(self, parts: Iterable[Part], written: Written) -> None:
        self.counted += written.readings + written.dead_letters

    async def relocate(self, tp: TP, offset: int) -> None:
        self.relocated.append((tp, offset))

    async def reclaim(self, tp: TP) -> None:
        self.reclaimed.append(tp)
        await self.agent.ownership.take_over({tp: WHOLE_LOG})

    def hold_back(self, tp: TP) -> None:
        self.held_back.append(tp)

    @property
    def guard(self) -> Guard:
        return self.agent._guard

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await asyncio.sleep(0.001)

    def times(self) -> list[int]:
        return sorted(row.time_us - STAMP_MS * 1000 for row in self.store.readings)

    def next_offset(self, tp: TP = TP0) -> int:
        return self.store.progress[Partition(*tp)].next_offset


def on_bench(
    test: Callable[[Bench], Awaitable[None]],
    rows: int = 1000,
    flush_s: float = 0.005,
    reclaim_after_s: float = 0.01,
) -> None:
    """Run ``test`` with an agent that holds both partitions from offset 0."""

    async def run() -> None:
        store = MemoryStore()
        sink = ScriptedSink(store)
        thread = SinkThread(sink)
        fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        box: list[Bench] = []

        async def topic_ids(topic: str) -> str | None:
            if box[0].topic_ids_fail:
                box[0].topic_ids_fail -= 1
                raise ServiceUnavailable("Kafka is away")
            return box[0].topic_id

        class Counter:
            def stored(self, parts: Iterable[Part], written: Written) -> None:
                box[0].stored(parts, written)

        agent = ReadingsAgent(
            "worker-a",
            Pipeline(Limits()).together,
            thread,
            FlushPolicy(rows, flush_s),
            Counter(),
            topic_ids,
            poison_after=3,
            reclaim_after_s=reclaim_after_s,
            fatal=fatal,
        )
        bench = Bench(store, sink, agent, fatal)
        box.append(bench)
        agent.seeker = bench
        flushing = asyncio.create_task(agent.flush_forever())
        await agent.ownership.take_over({TP0: WHOLE_LOG, TP1: WHOLE_LOG})
        try:
            async with asyncio.timeout(20):
                await test(bench)
        finally:
            flushing.cancel()
            await thread.close()

    asyncio.run(run())


def test_everything_taken_is_stored_once_when_stopped() -> None:
    async def scenario(bench: Bench) -> None:
        for base in range(0, 50, 10):
            await bench.agent.handle(chunk(base, base + 10))
        await bench.agent.stop()
        assert bench.times() == list(range(50))
        assert bench.next_offset() == 50
        assert bench.counted == 50

    on_bench(scenario)


def test_a_chunk_fetched_before_a_seek_is_dropped() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.handle(chunk(5, 15))
        await bench.agent.stop()
        assert bench.times() == list(range(10))

    on_bench(scenario)


def test_a_gap_is_read_again_and_asked_for_once() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.handle(chunk(20, 30))
        await bench.agent.handle(chunk(30, 40))
        assert bench.relocated == [(TP0, 10)]
        await bench.agent.handle(chunk(10, 40))
        await bench.agent.stop()
        assert bench.times() == list(range(40))

    on_bench(scenario)


def test_a_gap_that_compaction_left_is_stored_as_progress() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.agent.handle(chunk(0, 10, values=[]))
        await bench.agent.handle(chunk(10, 20))
        await bench.agent.stop()
        assert bench.next_offset() == 20
        assert bench.times() == list(range(10, 20))

    on_bench(scenario)


def test_an_ambiguous_commit_is_settled_by_progress_not_by_writing_again() -> None:
    async def scenario(bench: Bench) -> None:
        bench.sink.script = [bench.sink.commit_and_lose_the_answer]
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.stop()
        assert bench.times() == list(range(10))
        assert bench.counted == 10

    on_bench(scenario)


def test_a_commit_that_landed_is_counted_by_the_attempt_that_landed() -> None:
    async def scenario(bench: Bench) -> None:
        def land_late(flush: Flush) -> Written:
            with pytest.raises(SinkUnavailable) as lost:
                bench.sink.commit_and_lose_the_answer(flush)
            bench.sink.script.insert(0, judged_beside_the_stored_rows)
            raise lost.value

        def judged_beside_the_stored_rows(flush: Flush) -> Written:
            again = SinkUnavailable("lost once more")
            again.sent = {part.partition: Written(duplicates=10) for part in flush.parts}
            raise again

        answers = iter([{Partition(*TP0): Progress(1, 0, "worker-a")}])

        async def late(parts: list[Part], patience: Patience) -> dict[Partition, Progress]:
            return next(answers, None) or bench.sink.progress([part.partition for part in parts])

        bench.agent.flusher._progress = late  # type: ignore[method-assign]
        bench.sink.script = [land_late]
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.stop()
        assert bench.counted == 10
        assert bench.times() == list(range(10))

    on_bench(scenario)


def test_a_lost_connection_is_tried_again_from_memory() -> None:
    async def scenario(bench: Bench) -> None:
        bench.sink.script = [bench.sink.lose_the_connection] * 3
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.stop()
        assert bench.times() == list(range(10))
        assert bench.relocated == []

    on_bench(scenario)


def test_a_fence_on_one_partition_does_not_cost_the_other_its_rows() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.agent.handle(chunk(0, 10, TP0))
        await bench.agent.handle(chunk(0, 10, TP1))
        MemorySink(bench.store).claim(Partition(*TP0), "worker-b", 0)
        await bench.agent.stop()
        assert (bench.next_offset(TP0), bench.next_offset(TP1)) == (0, 10)
        assert TP0 not in bench.agent.ownership.held
        assert bench.agent.ownership.held[TP1].stored == 10

    on_bench(scenario)


def test_a_partition_lost_to_a_stale_member_is_claimed_again() -> None:
    async def scenario(bench: Bench) -> None:
        MemorySink(bench.store).claim(Partition(*TP0), "zombie", 0)
        await bench.agent.handle(chunk(0, 10))
        while not bench.reclaimed:
            await asyncio.sleep(0.005)
        assert bench.reclaimed == [TP0]
        assert bench.times() == []

    on_bench(scenario)


def test_a_claim_of_our_own_while_a_flush_fails_keeps_the_partition() -> None:
    async def scenario(bench: Bench) -> None:
        bench.sink.script = [bench.sink.lose_the_connection]
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.ownership.take_over({TP0: WHOLE_LOG})
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.stop()
        assert bench.times() == list(range(10))
        assert bench.agent.ownership.held[TP0].stored == 10

    on_bench(scenario)


def test_what_is_collected_of_a_revoked_partition_is_left_to_its_next_owner() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.agent.handle(chunk(0, 10))
        bench.agent.ownership.retain({TP1})
        await bench.agent.stop()
        assert bench.times() == []
        assert bench.next_offset() == 0

    on_bench(scenario)


def test_a_slow_sink_makes_the_agent_wait_instead_of_collecting() -> None:
    async def scenario(bench: Bench) -> None:
        def fail(_: Flush) -> Written:
            raise SinkUnavailable("away")

        bench.sink.script = [fail] * 4
        feeding = asyncio.create_task(feed(bench, chunks=50))
        await asyncio.sleep(0.05)
        assert bench.agent.ownership.held[TP0].expected <= 50, "one flush waits, one is written, no more"
        await feeding
        await bench.agent.stop()
        assert bench.times() == list(range(500))

    on_bench(scenario, rows=20)


@pytest.mark.parametrize(("stored_s", "least_s"), [(0.0, 0.005), (0.04, 0.05), (0.2, 0.1)])
def test_brokers_gather_for_longer_while_flushes_take_longer(stored_s: float, least_s: float) -> None:
    async def scenario(bench: Bench) -> None:
        def take(flush: Flush) -> Written:
            time.sleep(stored_s)
            return MemorySink.write(bench.sink, flush)

        bench.sink.script = [take]
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.flusher.drain()
        assert least_s <= bench.agent.flusher.gather_s() <= GATHER_AT_MOST_S

    on_bench(scenario)


@pytest.mark.parametrize(("rows", "flushes"), [(10, [2]), (5, [1, 1])])
def test_a_full_flush_waits_for_the_rest_of_a_fetch_up_to_twice_its_rows(
    rows: int, flushes: list[int]
) -> None:
    async def scenario(bench: Bench) -> None:
        parts: list[int] = []

        def note(flush: Flush) -> Written:
            parts.append(len(flush.parts))
            return MemorySink.write(bench.sink, flush)

        bench.sink.script = [note] * 2
        await bench.agent.handle(chunk(0, 10), chunk(0, 10, tp=TP1))
        await bench.agent.stop()
        assert parts == flushes

    on_bench(scenario, rows)


async def feed(bench: Bench, chunks: int) -> None:
    for base in range(0, 10 * chunks, 10):
        await bench.agent.handle(chunk(base, base + 10))


@pytest.mark.parametrize(
    ("bounds", "stored", "words"),
    [(LogBounds(5, 9), 0, "were deleted"), (LogBounds(0, 9), 10, "was truncated")],
)
def test_a_stored_offset_outside_the_log_halts_that_partition_alone(
    bounds: LogBounds, stored: int, words: str
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.progress[Partition(*TP0)] = Progress(1, stored, "worker-a")
        starts = await bench.agent.ownership.take_over({TP0: bounds, TP1: WHOLE_LOG})
        assert starts == {TP1: 0}
        assert words in bench.agent.ownership.halted[TP0].reason

    on_bench(scenario)


def test_a_log_that_lost_what_comes_next_halts_the_partition() -> None:
    async def scenario(bench: Bench) -> None:
        lost = Chunk(TP0, 0, 20, chunk(15, 20).messages, lost_before=15)
        assert bench.agent.ownership.accept(lost) is Verdict.HALTED
        await bench.agent.handle(chunk(20, 30))
        await bench.agent.stop()
        assert bench.times() == []
        assert "offsets 0 to 14" in bench.agent.ownership.halted[TP0].reason

    on_bench(scenario)


def test_an_unexpected_error_ends_the_worker_instead_of_losing_the_chunk() -> None:
    async def scenario(bench: Bench) -> None:
        def defect(_: Flush) -> Written:
            raise ZeroDivisionError("a defect")

        bench.sink.script = [defect]
        await bench.agent.handle(chunk(0, 10))
        with pytest.raises(ZeroDivisionError):
            await bench.fatal
        assert bench.times() == []

    on_bench(scenario)


def test_a_schema_registry_that_is_away_makes_readings_wait_instead_of_guessing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.agents.readings.RETRY_EVERY_S", 0.001)

    async def scenario(bench: Bench) -> None:
        stages, troubles = bench.agent._stages, iter([True, True, False])

        def sometimes(chunks: Sequence[Messages]) -> list[Staged]:
            if next(troubles):
                raise ServiceUnavailable("the schema registry does not answer")
            return stages(chunks)

        bench.agent._stages = sometimes
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.stop()
        assert bench.times() == list(range(10))

    on_bench(scenario)


def test_chunks_of_one_fetch_are_stored_in_one_flush() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.agent.handle(chunk(0, 10, TP0), chunk(0, 0, TP1), chunk(0, 10, TP1))
        await bench.until(lambda: (bench.next_offset(TP0), bench.next_offset(TP1)) == (10, 10))
        assert bench.sink.flushes == 1

    on_bench(scenario)


def test_a_chunk_that_does_not_fit_keeps_none_of_the_others_from_being_stored() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.agent.handle(chunk(20, 30, TP0), chunk(0, 10, TP1))
        await bench.until(lambda: bench.counted == 10)
        assert bench.relocated == [(TP0, 0)]
        assert bench.next_offset(TP1) == 10

    on_bench(scenario)


def test_large_chunks_go_through_the_stages_one_after_the_other() -> None:
    held = Held(1, 0, 0)
    large = chunk(0, 1, values=[b"x" * TOGETHER_BYTES])
    small = chunk(0, 1, values=[b"x"])
    groups = together([(small, held), (large, held), (small, held), (small, held)])
    assert [[part for part, _ in group] for group in groups] == [[small, large], [small, small]]


def test_the_first_reading_after_a_pause_does_not_wait() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.agent.handle(chunk(0, 10))
        await bench.until(lambda: bench.counted == 10)
        await bench.agent.handle(chunk(10, 20))
        await asyncio.sleep(0.05)
        assert bench.sink.flushes == 1, "the next flush begins a minute after the first"
        await bench.agent.stop()
        assert bench.next_offset() == 20

    on_bench(scenario, flush_s=60.0)
