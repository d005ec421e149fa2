-- How far event time has come in each partition, and what came too late for it.

-- A constant default is stored once, not in the rows; in a row the flag takes a byte that was padding.
ALTER TABLE readings ADD COLUMN late boolean NOT NULL DEFAULT false;
ALTER TABLE reading_versions ADD COLUMN late boolean NOT NULL DEFAULT false;
CREATE INDEX reading_versions_late ON reading_versions (ts) WHERE late;

COMMENT ON COLUMN readings.late IS 'Whether the watermark had passed ts when it came: what needs order has not seen it, and its bucket is computed again';
COMMENT ON COLUMN reading_versions.late IS 'Whether it replaced another version when the watermark had passed ts: what needs order has not seen it';
COMMENT ON INDEX reading_versions_late IS 'Corrections that what needs order has not seen';

CREATE OR REPLACE VIEW readings_named AS
SELECT r.ts,
       s.tenant,
       s.source,
       s.metric,
       CASE WHEN abs(r.value) < 'infinity' THEN r.value END AS value,
       r.quality,
       s.unit,
       s.site,
       s.system,
       r.late
FROM readings AS r
JOIN series AS s USING (series_id);

COMMENT ON COLUMN readings_named.late IS 'Whether it came more than lateness_s behind the others';

-- Appended to and never updated: a flush never waits for whoever computes buckets again.
CREATE TABLE dirty_buckets (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    series_id integer NOT NULL,
    bucket    timestamptz NOT NULL,
    marked_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE dirty_buckets IS 'Minutes of series that a late reading or a late correction fell into, once for each flush';
COMMENT ON COLUMN dirty_buckets.id IS 'Order in which they were marked';
COMMENT ON COLUMN dirty_buckets.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN dirty_buckets.bucket IS 'Begin of the minute';
COMMENT ON COLUMN dirty_buckets.marked_at IS 'When it was marked';

CREATE TABLE late_readings (
    topic     text NOT NULL,
    partition integer NOT NULL,
    up_to_s   double precision NOT NULL,
    readings  bigint NOT NULL,
    PRIMARY KEY (topic, partition, up_to_s)
);

COMMENT ON TABLE late_readings IS 'Late readings by how far the watermark was past them, each counted once';
COMMENT ON COLUMN late_readings.topic IS 'Kafka topic';
COMMENT ON COLUMN late_readings.partition IS 'Kafka partition';
COMMENT ON COLUMN late_readings.up_to_s IS 'Late by so many seconds at most, and more than the next lower number';
COMMENT ON COLUMN late_readings.readings IS 'How many, since the partition was first claimed';

ALTER TABLE progress
    ADD COLUMN log_clock   timestamptz,
    ADD COLUMN clock_era   integer NOT NULL DEFAULT 0,
    ADD COLUMN watermark   timestamptz,
    ADD COLUMN released_to timestamptz,
    ADD COLUMN late        bigint NOT NULL DEFAULT 0,
    ADD COLUMN in_order    bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN progress.log_clock IS 'Highest Kafka timestamp up to next_offset; NULL before the first reading';
COMMENT ON COLUMN progress.clock_era IS 'How often that clock was set back and began anew';
COMMENT ON COLUMN progress.watermark IS 'An earlier event time is late; NULL before there is one';
COMMENT ON COLUMN progress.released_to IS 'Readings before this event time were released in order of time';
COMMENT ON COLUMN progress.late IS 'Readings that were late, of those written';
COMMENT ON COLUMN progress.in_order IS 'Readings that were released in order of time, of those written';

ALTER TABLE producers
    ALTER COLUMN epoch DROP NOT NULL,
    ADD COLUMN high timestamptz,
    ADD COLUMN era  integer NOT NULL DEFAULT 0;

COMMENT ON TABLE producers IS 'What is known of each producer, as of the last time it was brought up to date from producer_journal';
COMMENT ON COLUMN producers.epoch IS 'Its latest epoch, a restarted producer takes a higher one; NULL where it does not number its readings';
COMMENT ON COLUMN producers.last_seen IS 'Time of its last record by the log''s clock';
COMMENT ON COLUMN producers.high IS 'Its highest event time; NULL where it has been idle and is not waited for';
COMMENT ON COLUMN producers.era IS 'Era of the log''s clock that high is of';

ALTER TABLE producer_journal RENAME COLUMN spans TO reports;
UPDATE producer_journal
SET reports = (
    SELECT jsonb_agg(
        jsonb_build_array(s -> 0, s -> 1, s -> 5, NULL::bigint, 0, jsonb_build_array(jsonb_build_array(s -> 2, s -> 3, s -> 4)))
        ORDER BY nth
    )
    FROM jsonb_array_elements(reports) WITH ORDINALITY AS span (s, nth)
);

COMMENT ON TABLE producer_journal IS 'What flushes heard of producers, and is not in table producers yet';
COMMENT ON COLUMN producer_journal.reports IS 'Array of [tenant, producer, log clock in milliseconds, highest event time in microseconds, era, [[epoch, first, last + 1], ...]]';

DROP FUNCTION advance_progress;
CREATE FUNCTION advance_progress(
    of_topic text, of_partition integer, with_epoch bigint, base bigint, next bigint,
    believed_kept_from timestamptz,
    new_log_clock timestamptz, new_clock_era integer, new_watermark timestamptz, new_released_to timestamptz,
    new_readings bigint, new_dead_letters bigint, new_duplicates bigint, new_corrections bigint,
    new_forwarded bigint, new_late bigint, new_in_order bigint
)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE progress AS p
    SET next_offset = next,
        updated_at = clock_timestamp(),
        log_clock = new_log_clock,
        clock_era = new_clock_era,
        watermark = new_watermark,
        released_to = new_released_to,
        written = p.written + new_readings,
        dead_letters = p.dead_letters + new_dead_letters,
        duplicates = p.duplicates + new_duplicates,
        corrections = p.corrections + new_corrections,
        forwarded = p.forwarded + new_forwarded,
        late = p.late + new_late,
        in_order = p.in_order + new_in_order
    WHERE p.topic = of_topic AND p.partition = of_partition
      AND p.epoch = with_epoch AND p.next_offset = base;
    IF NOT FOUND THEN
        RAISE EXCEPTION '% [%] is not at offset % under epoch %', of_topic, of_partition, base, with_epoch
            USING ERRCODE = 'SG001';
    END IF;
    IF NOT EXISTS (SELECT FROM raw_retention WHERE kept_from = believed_kept_from) THEN
        RAISE EXCEPTION 'readings are no longer kept from % on', believed_kept_from
            USING ERRCODE = 'SG002';
    END IF;
END
$$;

COMMENT ON FUNCTION advance_progress IS 'Move a partition from offset base to next, with where its event time is then; raise SQLSTATE SG001 when it is not at base under that epoch, SG002 when readings are kept from another time on than believed';

-- A partition's readings that are still to be released, of its own series.
CREATE FUNCTION unreleased_readings(
    of_topic text, of_partition integer, from_ts timestamptz, to_ts timestamptz, most integer
)
RETURNS TABLE (series_id integer, ts timestamptz, value double precision, quality smallint)
LANGUAGE sql STABLE
AS $$
    WITH seen AS (
        SELECT DISTINCT ON (v.series_id, v.ts) v.series_id, v.ts, v.value, v.quality
        FROM reading_versions AS missed
        JOIN reading_versions AS v USING (series_id, ts)
        WHERE missed.late AND missed.ts >= from_ts AND missed.ts < to_ts AND NOT v.late
        ORDER BY v.series_id, v.ts, v.revision DESC
    )
    SELECT s.series_id, r.ts, coalesce(seen.value, r.value), coalesce(seen.quality, r.quality)
    FROM series AS s
    CROSS JOIN LATERAL (
        SELECT ts, value, quality FROM readings
        WHERE series_id = s.series_id AND ts >= from_ts AND ts < to_ts AND NOT late
    ) AS r
    LEFT JOIN seen ON seen.series_id = s.series_id AND seen.ts = r.ts
    WHERE s.home_topic = of_topic AND s.home_partition = of_partition
    ORDER BY r.ts
    LIMIT most
$$;

COMMENT ON FUNCTION unreleased_readings IS 'Readings of a partition''s series that were not late, in order of time, each as the last of its versions that was not late';

CREATE OR REPLACE VIEW pipeline_progress AS
SELECT topic, partition, next_offset, owner, updated_at, written, dead_letters,
       duplicates, corrections, forwarded, late, in_order, watermark, log_clock - watermark AS watermark_lag
FROM progress;

COMMENT ON COLUMN pipeline_progress.late IS 'Readings that were late, of those written';
COMMENT ON COLUMN pipeline_progress.in_order IS 'Readings that were released in order of time, of those written';
COMMENT ON COLUMN pipeline_progress.watermark IS 'An earlier event time is late; NULL before there is one';
COMMENT ON COLUMN pipeline_progress.watermark_lag IS 'How far the watermark is behind the time of the last record';

GRANT SELECT, INSERT ON dirty_buckets TO streamgauge_writer;
GRANT SELECT, INSERT, UPDATE ON late_readings TO streamgauge_writer;
GRANT UPDATE ON producer_journal TO streamgauge_writer;
GRANT DELETE ON producers TO streamgauge_writer;
GRANT EXECUTE ON FUNCTION advance_progress, unreleased_readings TO streamgauge_writer;
GRANT SELECT ON late_readings TO streamgauge_reader;
