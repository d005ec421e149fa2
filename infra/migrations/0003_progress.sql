-- How far each partition is stored, and who may store more: the fence of the pipeline.

CREATE TABLE progress (
    topic        text NOT NULL,
    partition    integer NOT NULL,
    epoch        bigint NOT NULL,
    next_offset  bigint NOT NULL,
    owner        text NOT NULL,
    session      text NOT NULL,
    claimed_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    written      bigint NOT NULL DEFAULT 0,
    dead_letters bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

COMMENT ON TABLE progress IS 'One row a partition: what is stored of it, changed only in the transaction that stores more';
COMMENT ON COLUMN progress.topic IS 'Kafka topic';
COMMENT ON COLUMN progress.partition IS 'Number of the partition in its topic';
COMMENT ON COLUMN progress.epoch IS 'Raised by each claim; a worker with a lower one can store nothing';
COMMENT ON COLUMN progress.next_offset IS 'Everything below this Kafka offset is stored';
COMMENT ON COLUMN progress.owner IS 'The worker that claimed the partition last';
COMMENT ON COLUMN progress.session IS 'application_name of that worker''s database session';
COMMENT ON COLUMN progress.claimed_at IS 'When it claimed the partition';
COMMENT ON COLUMN progress.updated_at IS 'When something of the partition was stored last; at first, when it was claimed';
COMMENT ON COLUMN progress.written IS 'Readings stored from this partition since it was first claimed';
COMMENT ON COLUMN progress.dead_letters IS 'Dead letters stored from this partition since it was first claimed';

CREATE VIEW pipeline_progress AS
SELECT topic, partition, next_offset, owner, updated_at, written, dead_letters
FROM progress;

COMMENT ON VIEW pipeline_progress IS 'How far each partition is stored, by whom, and when that was';
COMMENT ON COLUMN pipeline_progress.topic IS 'Kafka topic';
COMMENT ON COLUMN pipeline_progress.partition IS 'Number of the partition in its topic';
COMMENT ON COLUMN pipeline_progress.next_offset IS 'Everything below this Kafka offset is stored';
COMMENT ON COLUMN pipeline_progress.owner IS 'The worker that claimed the partition last';
COMMENT ON COLUMN pipeline_progress.updated_at IS 'When something of the partition was stored last; at first, when it was claimed';
COMMENT ON COLUMN pipeline_progress.written IS 'Readings stored from this partition since it was first claimed';
COMMENT ON COLUMN pipeline_progress.dead_letters IS 'Dead letters stored from this partition since it was first claimed';

-- A client that was stopped inside COPY is freed by no timeout, and may hold the lock under which
-- chunks are created. Transactions of three seconds are far outside of what a live worker does.
CREATE FUNCTION end_abandoned_sessions(former text DEFAULT NULL) RETURNS bigint
LANGUAGE sql
AS $$
    SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 2000))
    FROM pg_stat_activity
    WHERE datname = current_database()
      AND usename = current_user
      AND pid <> pg_backend_pid()
      AND application_name LIKE 'streamgauge/%'
      AND xact_start < clock_timestamp() - INTERVAL '3 seconds'
      AND (application_name IN (former, current_setting('application_name'))
           OR NOT EXISTS (SELECT FROM progress WHERE session = application_name))
$$;

COMMENT ON FUNCTION end_abandoned_sessions IS 'End long transactions of worker sessions that own no partition, are the caller''s own earlier ones, or are named; returns how many';

CREATE FUNCTION claim_partition(claimed_topic text, claimed_partition integer, new_owner text, start bigint)
RETURNS TABLE (epoch bigint, next_offset bigint)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    PERFORM end_abandoned_sessions(
        (SELECT session FROM progress WHERE topic = claimed_topic AND partition = claimed_partition)
    );
    RETURN QUERY
    INSERT INTO progress AS p (topic, partition, epoch, next_offset, owner, session)
    VALUES (claimed_topic, claimed_partition, 1, start, new_owner, current_setting('application_name'))
    ON CONFLICT (topic, partition) DO UPDATE
        SET epoch = p.epoch + 1, owner = excluded.owner, session = excluded.session, claimed_at = now()
    RETURNING p.epoch, p.next_offset;
END
$$;

COMMENT ON FUNCTION claim_partition IS 'Take a partition over: raise its epoch, which fences every earlier owner; start counts where it was never claimed before';

CREATE FUNCTION advance_progress(
    of_topic text, of_partition integer, with_epoch bigint, base bigint, next bigint,
    new_readings bigint, new_dead_letters bigint
)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE progress AS p
    SET next_offset = next,
        updated_at = clock_timestamp(),
        written = p.written + new_readings,
        dead_letters = p.dead_letters + new_dead_letters
    WHERE p.topic = of_topic AND p.partition = of_partition
      AND p.epoch = with_epoch AND p.next_offset = base;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% [%] is not at offset % under epoch %', of_topic, of_partition, base, with_epoch
            USING ERRCODE = 'SG001';
    END IF;
END
$$;

COMMENT ON FUNCTION advance_progress IS 'Move a partition from offset base to next, or raise SQLSTATE SG001 when it is not at base under that epoch';

GRANT SELECT, INSERT, UPDATE ON progress TO streamgauge_writer;
GRANT EXECUTE ON FUNCTION end_abandoned_sessions, claim_partition, advance_progress TO streamgauge_writer;
GRANT SELECT ON pipeline_progress TO streamgauge_reader, streamgauge_writer;
