-- Dead letters that can be settled, and an outbox in which no topic waits for another.

ALTER TABLE dead_letters
    ADD COLUMN key        bytea,
    ADD COLUMN kafka_time timestamptz,
    ADD COLUMN state      text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'replayed', 'discarded')),
    ADD COLUMN state_at   timestamptz,
    ADD COLUMN state_by   text,
    ADD COLUMN state_why  text;

COMMENT ON COLUMN dead_letters.key IS 'Kafka key of the record; NULL where it had none, or was stored by an earlier release';
COMMENT ON COLUMN dead_letters.kafka_time IS 'Kafka timestamp of the record; NULL where it is not between 1970 and 2100, or was stored by an earlier release';
COMMENT ON COLUMN dead_letters.state IS 'open, replayed (sent again to its topic) or discarded';
COMMENT ON COLUMN dead_letters.state_at IS 'When it was replayed or discarded last';
COMMENT ON COLUMN dead_letters.state_by IS 'Who did that';
COMMENT ON COLUMN dead_letters.state_why IS 'Why it was discarded';

ALTER TABLE outbox
    ALTER COLUMN key DROP NOT NULL,
    ADD COLUMN refused text;
CREATE INDEX outbox_waiting ON outbox (topic, id) WHERE refused IS NULL;
CREATE INDEX outbox_refused ON outbox (id) WHERE refused IS NOT NULL;

COMMENT ON COLUMN outbox.key IS 'Key of the message; NULL for none';
COMMENT ON COLUMN outbox.refused IS 'What Kafka said when it refused the message for good: it is set aside until this is NULL again';

-- Counting is bounded: whoever looks every few seconds must not read a backlog of millions.
CREATE VIEW outbox_state AS
SELECT topic,
       count(*) FILTER (WHERE refused IS NULL) AS waiting,
       min(created_at) FILTER (WHERE refused IS NULL) AS waiting_since,
       count(refused) AS refused
FROM (
    (SELECT topic, created_at, refused FROM outbox WHERE refused IS NULL ORDER BY id LIMIT 100000)
    UNION ALL
    (SELECT topic, created_at, refused FROM outbox WHERE refused IS NOT NULL ORDER BY id LIMIT 100000)
) AS counted
GROUP BY topic;

COMMENT ON VIEW outbox_state IS 'What waits to be sent to Kafka: the first 100,000 messages that wait, and as many that were refused, are counted';
COMMENT ON COLUMN outbox_state.topic IS 'Kafka topic';
COMMENT ON COLUMN outbox_state.waiting IS 'Messages that wait to be sent';
COMMENT ON COLUMN outbox_state.waiting_since IS 'When the oldest of them was stored';
COMMENT ON COLUMN outbox_state.refused IS 'Messages that Kafka refused for good';

GRANT UPDATE (state, state_at, state_by, state_why) ON dead_letters TO streamgauge_writer;
GRANT UPDATE (refused) ON outbox TO streamgauge_writer;
GRANT SELECT ON outbox_state TO streamgauge_writer, streamgauge_reader;
-- Not the payload and the key: analysts see what was refused, not what somebody sent.
GRANT SELECT (
    id, at, topic, partition, "offset", index, reason, detail, payload_bytes, kafka_time,
    state, state_at, state_by, state_why
) ON dead_letters TO streamgauge_reader;
