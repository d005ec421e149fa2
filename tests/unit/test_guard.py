"""What the guard notices about partitions that are held or halted, on a sink in memory."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from faust.types import TP

from sinks.memory import MemorySink
from sinks.protocols import HaltKind, Partition
from streams.transport.chunk import Chunk
from streams.transport.owner import LogBounds
from tests.unit.test_readings import TP0, TP1, WHOLE_LOG, Bench, chunk, on_bench


def resume(bench: Bench, tp: TP, offset: int, topic_id: str = "first") -> None:
    """Decide as an operator does."""
    before = bench.store.progress[Partition(*tp)]
    bench.store.progress[Partition(*tp)] = replace(
        before, epoch=before.epoch + 1, next_offset=offset, topic_id=topic_id, halted=""
    )


def test_a_topic_that_was_recreated_halts_what_is_held_of_it_and_says_how_to_go_on() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.flusher.drain()
        bench.topic_id = "second"
        await bench.agent.handle(chunk(10, 20))
        await bench.guard.look()
        await bench.agent.stop()
        assert set(bench.agent.ownership.halted) == {TP0, TP1}
        assert bench.next_offset() == 10, "what was collected is not stored"
        halted = bench.store.progress[Partition(*TP0)].halted
        assert "id first, and readings has id second" in halted
        assert 'streamgauge resume readings/0 --from earliest --why "..."' in halted
        assert bench.store.halts[Partition(*TP0)] is HaltKind.RECREATED
        assert set(bench.held_back) == {TP0, TP1}

    on_bench(scenario, rows=1000, flush_s=60.0)


def test_a_topic_that_is_away_or_has_no_id_halts_nothing() -> None:
    async def scenario(bench: Bench) -> None:
        bench.topic_id = None
        await bench.guard.look()
        assert bench.agent.ownership.halted == {}

    on_bench(scenario)


def test_a_halt_that_was_resolved_is_claimed_again_and_the_others_stay() -> None:
    async def scenario(bench: Bench) -> None:
        bench.topic_id = "second"
        await bench.guard.look()
        resume(bench, TP0, 0, "second")
        await bench.guard.look()
        await bench.until(lambda: TP0 in bench.agent.ownership.held)
        assert bench.reclaimed == [TP0]
        assert set(bench.agent.ownership.halted) == {TP1}
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.stop()
        assert bench.times() == list(range(10))

    on_bench(scenario)


def test_a_halt_outlives_the_claim_of_a_log_that_looks_right() -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.progress[Partition(*TP0)] = replace(bench.store.progress[Partition(*TP0)], next_offset=10)
        ownership = bench.agent.ownership
        assert await ownership.take_over({TP0: LogBounds(0, 9)}) == {}
        await bench.guard.look()
        assert await ownership.take_over({TP0: LogBounds(0, 99)}) == {}
        assert "ends at 9" in ownership.halted[TP0].reason
        await bench.guard.look()
        assert TP0 in ownership.halted, "nobody has decided"

    on_bench(scenario)


def test_a_held_partition_that_was_set_back_is_claimed_at_once_with_nothing_to_store() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.flusher.drain()
        resume(bench, TP0, 4)
        await bench.guard.look()
        await bench.until(lambda: TP0 in bench.agent.ownership.held)
        assert bench.agent.ownership.held[TP0].expected == 4

    on_bench(scenario)


def test_a_partition_that_another_worker_took_is_given_up() -> None:
    async def scenario(bench: Bench) -> None:
        MemorySink(bench.store).claim(Partition(*TP0), "worker-b", 0)
        await bench.guard.look()
        assert set(bench.agent.ownership.held) == {TP1}

    on_bench(scenario, reclaim_after_s=60.0)


def test_a_log_that_ended_before_what_was_read_halts_its_partition() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.agent.handle(chunk(0, 10))
        await bench.agent.handle(replace(Chunk.of(TP0, 10, 10, []), rewound=True))
        assert "everything up to offset 10 was read" in bench.agent.ownership.halted[TP0].reason
        assert TP1 in bench.agent.ownership.held

    on_bench(scenario)


def test_a_claim_waits_until_kafka_tells_which_topic_it_is() -> None:
    async def scenario(bench: Bench) -> None:
        bench.topic_ids_fail = 2
        assert await bench.agent.ownership.take_over({TP0: WHOLE_LOG}) == {TP0: 0}
        assert bench.topic_ids_fail == 0

    on_bench(scenario)


def test_two_claims_at_once_leave_the_later_one_held() -> None:
    async def scenario(bench: Bench) -> None:
        ownership = bench.agent.ownership
        both = ownership.take_over({TP0: WHOLE_LOG, TP1: WHOLE_LOG})
        await asyncio.gather(both, ownership.take_over({TP0: WHOLE_LOG}))
        assert ownership.held[TP0].epoch == bench.store.progress[Partition(*TP0)].epoch

    on_bench(scenario)
