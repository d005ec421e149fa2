"""Logs that are not one plain record after another: compressed, transactional, compacted, cut off."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from jobs.generate import Encoding
from tests.integration.ingest import Ingest, MakeIngest, load
from tests.waiting import eventually

pytestmark = pytest.mark.stack
READING = b'{"source":"pump","metric":"rpm","time":%d,"value":1}'
START_US = 1_790_000_000_000_000


def readings(start: int, count: int) -> list[bytes]:
    return [READING % (START_US + number) for number in range(start, start + count)]


def send(producer: Producer, topic: str, values: list[bytes], key: bytes = b"plc") -> None:
    for value in values:
        producer.produce(topic, value, key, partition=0)
    producer.flush(30)


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_compressed_records(make_ingest: MakeIngest, codec: str) -> None:
    run = make_ingest(partitions=2, compression_type=codec)
    run.publish(load(20_000, Encoding.SINGLE))
    run.worker()
    run.assert_exactly(20_000)


def test_aborted_transactions_are_never_seen_and_markers_do_not_hold_progress_back(
    make_ingest: MakeIngest,
) -> None:
    run = make_ingest(partitions=1)
    producer = Producer({"bootstrap.servers": run.settings.kafka, "transactional.id": run.topic})
    producer.init_transactions(30)
    run.worker()
    for turn in range(20):
        producer.begin_transaction()
        send(producer, run.topic, readings(100 * turn, 100))
        if turn % 2:
            producer.abort_transaction(30)
        else:
            producer.commit_transaction(30)
    run.assert_exactly(1000)
    assert run.progress()[0] == 20 * 101, "the last marker is stored as read"


def test_an_open_transaction_is_waited_for(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    producer = Producer({"bootstrap.servers": run.settings.kafka, "transactional.id": run.topic})
    producer.init_transactions(30)
    run.worker()
    producer.begin_transaction()
    send(producer, run.topic, readings(0, 10))
    send(Producer({"bootstrap.servers": run.settings.kafka}), run.topic, readings(10, 10))
    eventually(lambda: run.progress() != {}, "the partition to be claimed")
    assert run.written() == 0
    producer.commit_transaction(30)
    run.assert_exactly(20)


def test_gaps_of_compaction(make_ingest: MakeIngest) -> None:
    run = make_ingest(
        partitions=1,
        cleanup_policy="compact",
        min_cleanable_dirty_ratio="0.001",
        max_compaction_lag_ms="100",
        segment_ms="100",
        delete_retention_ms="100",
    )
    producer = Producer({"bootstrap.servers": run.settings.kafka})
    for turn in range(50):
        send(producer, run.topic, readings(100 * turn, 100), key=b"k%d" % (turn % 5))
    at_most = wait_for_compaction(run, producer)
    run.worker()
    run.drained()
    stored = run.one("SELECT count(*) FROM readings")
    assert records_left(run) <= stored <= at_most, "the cleaner may have run once more meanwhile"
    assert stored == run.one("SELECT count(DISTINCT ts) FROM readings") == run.written()


def wait_for_compaction(run: Ingest, producer: Producer) -> int:
    """Keep the log rolling until the cleaner left gaps; return the records that are left."""
    for number in range(5000, 5120):
        left = records_left(run)
        if left < 1000:
            return left
        send(producer, run.topic, readings(number, 1), key=b"roll")
        time.sleep(0.5)
    pytest.fail("the log cleaner never ran")


def records_left(run: Ingest) -> int:
    """Count the records that partition 0 still holds."""
    consumer = Consumer(
        {"bootstrap.servers": run.settings.kafka, "group.id": "count", "enable.partition.eof": True}
    )
    consumer.assign([TopicPartition(run.topic, 0, 0)])
    count = 0
    while True:
        for message in consumer.consume(1000, 10):
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF
                consumer.close()
                return count
            count += 1


def test_retention_that_passes_what_is_stored_halts_the_partition_and_not_the_others(
    make_ingest: MakeIngest,
) -> None:
    run = make_ingest(partitions=2)
    first = run.worker()
    run.publish(load(20_000))
    run.assert_exactly(20_000)
    assert first.stop() == 0
    stored = run.progress()
    run.publish(load(20_000, start_us=START_US + 10**12, epoch=2))
    ends = run.log_ends()
    cut = TopicPartition(run.topic, 0, ends[0] - 1)
    run.admin.delete_records([cut])[cut].result(30)
    second = run.worker()
    eventually(lambda: run.progress()[1] == ends[1], "the other partition to be drained")
    assert run.progress()[0] == stored[0]
    assert second.said("is halted: offsets")
    assert second.said("streamgauge resume")


def test_retention_that_passes_a_running_worker_halts_the_partition(make_ingest: MakeIngest) -> None:
    run = make_ingest(partitions=1)
    worker = run.worker()
    run.publish(load(1000))
    run.drained()
    with run.session.transaction():
        run.session.execute("LOCK TABLE readings IN EXCLUSIVE MODE")  # nothing is stored meanwhile
        run.publish(load(2_000_000, start_us=START_US + 10**12, epoch=2))
        cut = TopicPartition(run.topic, 0, run.log_ends()[0] - 1)
        run.admin.delete_records([cut])[cut].result(30)
    eventually(lambda: worker.said("is halted"), "the partition to be halted")
