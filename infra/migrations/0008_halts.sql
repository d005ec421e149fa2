-- Partitions that wait for a decision, what was decided, and records that kill workers.

ALTER TABLE progress
    ADD COLUMN topic_id       text,
    ADD COLUMN claimed_offset bigint,
    ADD COLUMN released       boolean NOT NULL DEFAULT true,
    ADD COLUMN strikes        integer NOT NULL DEFAULT 0,
    ADD COLUMN attempting     bigint,
    ADD COLUMN attempts       integer NOT NULL DEFAULT 0;

COMMENT ON COLUMN progress.topic_id IS 'Kafka''s id of the topic that next_offset is an offset of; NULL until it is known';
COMMENT ON COLUMN progress.claimed_offset IS 'The stored offset as the owner found it';
COMMENT ON COLUMN progress.released IS 'Whether the owner gave the partition up in good order; false while it holds it';
COMMENT ON COLUMN progress.strikes IS 'Owners in a row that ended otherwise before they had stored anything';
COMMENT ON COLUMN progress.attempting IS 'Offset of the record that was attempted alone last, after such ends';
COMMENT ON COLUMN progress.attempts IS 'How often it was attempted alone; what survives is below next_offset';

CREATE TABLE halts (
    topic     text NOT NULL,
    partition integer NOT NULL,
    kind      text NOT NULL,
    reason    text NOT NULL,
    since     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
);

COMMENT ON TABLE halts IS 'Partitions that nobody reads until somebody decides: streamgauge resume';
COMMENT ON COLUMN halts.topic IS 'Kafka topic';
COMMENT ON COLUMN halts.partition IS 'Kafka partition';
COMMENT ON COLUMN halts.kind IS 'deleted, truncated, recreated or poison';
COMMENT ON COLUMN halts.reason IS 'What happened, and the command that resolves it';
COMMENT ON COLUMN halts.since IS 'When a worker noticed';

CREATE TABLE resumptions (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT now(),
    who           text NOT NULL,
    why           text NOT NULL,
    topic         text NOT NULL,
    partition     integer NOT NULL,
    from_offset   bigint NOT NULL,
    to_offset     bigint NOT NULL,
    from_topic_id text,
    to_topic_id   text,
    halt_kind     text,
    halt_reason   text,
    halted_since  timestamptz
);

COMMENT ON TABLE resumptions IS 'Every time that somebody set where a partition is read from';
COMMENT ON COLUMN resumptions.id IS 'Number of the decision';
COMMENT ON COLUMN resumptions.at IS 'When it was made';
COMMENT ON COLUMN resumptions.who IS 'User and host, and the user of the database';
COMMENT ON COLUMN resumptions.why IS 'The reason, in the words of whoever decided';
COMMENT ON COLUMN resumptions.topic IS 'Kafka topic';
COMMENT ON COLUMN resumptions.partition IS 'Kafka partition';
COMMENT ON COLUMN resumptions.from_offset IS 'The stored offset before';
COMMENT ON COLUMN resumptions.to_offset IS 'The stored offset after; what lies between is left out where it is higher, read again where it is lower';
COMMENT ON COLUMN resumptions.from_topic_id IS 'Kafka''s id of the topic before';
COMMENT ON COLUMN resumptions.to_topic_id IS 'Kafka''s id of the topic after';
COMMENT ON COLUMN resumptions.halt_kind IS 'Kind of the halt that was resolved; NULL where the partition was not halted';
COMMENT ON COLUMN resumptions.halt_reason IS 'What the halt said';
COMMENT ON COLUMN resumptions.halted_since IS 'Since when it was halted';

DROP FUNCTION claim_partition;
CREATE FUNCTION claim_partition(
    claimed_topic text, claimed_partition integer, new_owner text,
    log_start bigint, log_end bigint, log_topic_id text
)
RETURNS TABLE (
    epoch bigint, next_offset bigint, topic_id text, strikes integer, attempting bigint, attempts integer
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM end_abandoned_sessions(
        (SELECT session FROM progress WHERE topic = claimed_topic AND partition = claimed_partition)
    );
    RETURN QUERY
    INSERT INTO progress AS p
        (topic, partition, epoch, next_offset, owner, session, topic_id, claimed_offset, released)
    VALUES (claimed_topic, claimed_partition, 1, log_start, new_owner, current_setting('application_name'),
            log_topic_id, log_start, false)
    ON CONFLICT (topic, partition) DO UPDATE
        SET epoch = p.epoch + 1,
            owner = excluded.owner,
            session = excluded.session,
            claimed_at = now(),
            topic_id = coalesce(p.topic_id, excluded.topic_id),
            claimed_offset = p.next_offset,
            released = false,
            strikes = CASE
                WHEN p.next_offset >= log_end THEN 0
                WHEN p.released OR p.owner = excluded.owner THEN p.strikes
                WHEN p.next_offset = p.claimed_offset OR p.strikes > 0 THEN p.strikes + 1
                ELSE 0
            END
    RETURNING p.epoch, p.next_offset, p.topic_id, p.strikes, p.attempting, p.attempts;
END
$$;

COMMENT ON FUNCTION claim_partition IS 'Take a partition over: raise its epoch, which fences every earlier owner; log_start counts where it was never claimed before, log_topic_id where none is known; counts a strike where the former owner ended without giving it up and had stored nothing of what the log holds';

CREATE FUNCTION resume_partition(
    of_topic text, of_partition integer, new_offset bigint, new_topic_id text, by_whom text, because text
)
RETURNS SETOF resumptions
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    before progress;
    halted halts;
BEGIN
    SELECT * INTO before FROM progress WHERE topic = of_topic AND partition = of_partition FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    DELETE FROM halts WHERE topic = of_topic AND partition = of_partition RETURNING * INTO halted;
    UPDATE progress
    SET epoch = epoch + 1,
        next_offset = new_offset,
        topic_id = coalesce(new_topic_id, topic_id),
        released = true,
        strikes = 0,
        attempting = NULL,
        attempts = 0
    WHERE topic = of_topic AND partition = of_partition;
    RETURN QUERY
    INSERT INTO resumptions
        (who, why, topic, partition, from_offset, to_offset, from_topic_id, to_topic_id,
         halt_kind, halt_reason, halted_since)
    VALUES
        (by_whom || ', in the database ' || session_user, because, of_topic, of_partition, before.next_offset, new_offset, before.topic_id,
         coalesce(new_topic_id, before.topic_id), halted.kind, halted.reason, halted.since)
    RETURNING *;
END
$$;

COMMENT ON FUNCTION resume_partition IS 'Set where a partition is read from and end its halt, on record; the epoch is raised, which fences its owner; returns nothing where it was never claimed';

GRANT SELECT, INSERT, UPDATE ON halts TO streamgauge_writer;
GRANT EXECUTE ON FUNCTION claim_partition TO streamgauge_writer;
GRANT SELECT ON resumptions TO streamgauge_writer;
GRANT SELECT ON halts, resumptions TO streamgauge_reader;
