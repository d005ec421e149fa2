-- What tells a first arrival from a repeat, beside the readings themselves.

ALTER TABLE series
    ADD COLUMN home_topic text,
    ADD COLUMN home_partition integer;
CREATE INDEX series_home ON series (home_topic, home_partition);

COMMENT ON COLUMN series.home_topic IS 'Topic of the partition that owns the series: the first that wrote it';
COMMENT ON COLUMN series.home_partition IS 'The partition whose owner alone stores its readings, and so knows every repeat';

CREATE TABLE reading_versions (
    series_id   integer NOT NULL,
    ts          timestamptz NOT NULL,
    revision    integer NOT NULL,
    value       double precision NOT NULL,
    quality     smallint NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (series_id, ts, revision)
);

COMMENT ON TABLE reading_versions IS 'Every version of the readings that were corrected or carry a revision; table readings holds the latest';
COMMENT ON COLUMN reading_versions.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN reading_versions.ts IS 'Event time of the reading';
COMMENT ON COLUMN reading_versions.revision IS 'Revision of this version; 0 for the reading as it was first sent';
COMMENT ON COLUMN reading_versions.value IS 'The measurement of this version; NaN where there is none';
COMMENT ON COLUMN reading_versions.quality IS '0 good, 1 uncertain, 2 bad';
COMMENT ON COLUMN reading_versions.recorded_at IS 'When this version was stored';

CREATE TABLE producers (
    topic     text NOT NULL,
    partition integer NOT NULL,
    tenant    text NOT NULL,
    producer  text NOT NULL,
    epoch     bigint NOT NULL,
    seen      int8multirange NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, tenant, producer)
);

COMMENT ON TABLE producers IS 'Which readings of each numbering producer have arrived, as of the last time it was brought up to date from producer_journal';
COMMENT ON COLUMN producers.topic IS 'Kafka topic';
COMMENT ON COLUMN producers.partition IS 'Kafka partition that the producer''s records are in';
COMMENT ON COLUMN producers.tenant IS 'Whose series it sends';
COMMENT ON COLUMN producers.producer IS 'What the producer calls itself';
COMMENT ON COLUMN producers.epoch IS 'Its latest epoch; a restarted producer takes a higher one';
COMMENT ON COLUMN producers.seen IS 'Sequence numbers of that epoch that have arrived; a gap between them is missing';
COMMENT ON COLUMN producers.last_seen IS 'Kafka timestamp of its last record';

-- One row a flush is far cheaper than a row for each producer of it. A claim and every so many
-- flushes bring table producers up to date from here.
CREATE TABLE producer_journal (
    topic       text NOT NULL,
    partition   integer NOT NULL,
    next_offset bigint NOT NULL,
    spans       jsonb NOT NULL,
    PRIMARY KEY (topic, partition, next_offset)
);

COMMENT ON TABLE producer_journal IS 'Sequence numbers that arrived and are not in table producers yet';
COMMENT ON COLUMN producer_journal.topic IS 'Kafka topic';
COMMENT ON COLUMN producer_journal.partition IS 'Kafka partition';
COMMENT ON COLUMN producer_journal.next_offset IS 'Offset that the flush advanced the partition to';
COMMENT ON COLUMN producer_journal.spans IS 'Array of [tenant, producer, epoch, first, last + 1, Kafka timestamp in milliseconds]';

ALTER TABLE progress
    ADD COLUMN duplicates  bigint NOT NULL DEFAULT 0,
    ADD COLUMN corrections bigint NOT NULL DEFAULT 0,
    ADD COLUMN forwarded   bigint NOT NULL DEFAULT 0;

COMMENT ON COLUMN progress.duplicates IS 'Repeats of stored readings that arrived since the partition was first claimed';
COMMENT ON COLUMN progress.corrections IS 'Readings that replaced the value of a stored one';
COMMENT ON COLUMN progress.forwarded IS 'Readings handed to the partition that owns their series';

CREATE TABLE raw_retention (
    only_row  boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    kept_from timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO raw_retention DEFAULT VALUES;

COMMENT ON TABLE raw_retention IS 'One row: from when on readings are kept';
COMMENT ON COLUMN raw_retention.only_row IS 'Always true';
COMMENT ON COLUMN raw_retention.kept_from IS 'An earlier reading cannot be told from a repeat, and is refused; raise it before chunks are dropped';

CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id   text NOT NULL,
    topic      text NOT NULL,
    partition  integer,
    key        bytea NOT NULL,
    value      bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE outbox IS 'Messages that a committed transaction wants to be sent; each is deleted once Kafka has it';
COMMENT ON COLUMN outbox.id IS 'Order in which they are sent';
COMMENT ON COLUMN outbox.event_id IS 'The same for every repeat of the message; sent as header "event_id"';
COMMENT ON COLUMN outbox.topic IS 'Kafka topic to send to';
COMMENT ON COLUMN outbox.partition IS 'Partition to send to; NULL to choose by key';
COMMENT ON COLUMN outbox.key IS 'Key of the message';
COMMENT ON COLUMN outbox.value IS 'Value of the message';
COMMENT ON COLUMN outbox.created_at IS 'When it was stored';

-- A series belongs to the partition that wrote it first.
DROP FUNCTION register_series;
DROP FUNCTION find_series;

CREATE FUNCTION find_series(their_tenants text[], sources text[], metrics text[], said jsonb[])
RETURNS TABLE (
    nth bigint, tenant text, source text, metric text, attributes jsonb, series_id integer,
    home_topic text, home_partition integer, up_to_date boolean
)
LANGUAGE sql STABLE
AS $$
    SELECT asked.nth, asked.tenant, asked.source, asked.metric, asked.attributes,
           s.series_id, s.home_topic, s.home_partition,
           coalesce(s.attributes @> asked.attributes AND s.home_topic IS NOT NULL, false)
    FROM unnest(their_tenants, sources, metrics, said)
         WITH ORDINALITY AS asked (tenant, source, metric, attributes, nth)
    LEFT JOIN series AS s
        ON s.source = asked.source AND s.metric = asked.metric AND s.tenant = asked.tenant
$$;

COMMENT ON FUNCTION find_series IS 'Look series up by name: their numbers (NULL where unknown), their homes, and whether what is stored of them holds all that is said';

CREATE FUNCTION register_series(
    their_tenants text[], sources text[], metrics text[], said jsonb[],
    home_topics text[], home_partitions integer[], max_per_tenant integer
)
RETURNS TABLE (
    tenant text, source text, metric text, series_id integer, home_topic text, home_partition integer,
    adopted boolean
)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
DECLARE
    homeless integer[] := '{}';
BEGIN
    IF EXISTS (SELECT FROM find_series(their_tenants, sources, metrics, said) WHERE NOT up_to_date) THEN
        PERFORM pg_advisory_xact_lock(hashtext('streamgauge register_series'));
        homeless := ARRAY(
            SELECT f.series_id FROM find_series(their_tenants, sources, metrics, said) AS f
            WHERE f.series_id IS NOT NULL AND f.home_topic IS NULL
        );

        WITH unknown AS (
            SELECT f.*, row_number() OVER (PARTITION BY f.tenant ORDER BY f.nth) AS rank
            FROM find_series(their_tenants, sources, metrics, said) AS f
            WHERE f.series_id IS NULL
        ), added AS (
            INSERT INTO series (tenant, source, metric, attributes, home_topic, home_partition)
            SELECT u.tenant, u.source, u.metric, u.attributes, home_topics[u.nth], home_partitions[u.nth]
            FROM unknown AS u
            LEFT JOIN tenants AS t USING (tenant)
            WHERE u.rank <= max_per_tenant - coalesce(t.series_count, 0)
            ORDER BY u.nth
            RETURNING tenant
        )
        INSERT INTO tenants AS t (tenant, series_count)
        SELECT a.tenant, count(*) FROM added AS a GROUP BY a.tenant
        ON CONFLICT (tenant) DO UPDATE SET series_count = t.series_count + excluded.series_count;

        UPDATE series AS s
        SET attributes = s.attributes || f.attributes,
            home_topic = coalesce(s.home_topic, home_topics[f.nth]),
            home_partition = coalesce(s.home_partition, home_partitions[f.nth])
        FROM find_series(their_tenants, sources, metrics, said) AS f
        WHERE s.series_id = f.series_id AND NOT f.up_to_date;
    END IF;

    RETURN QUERY
    SELECT f.tenant, f.source, f.metric, f.series_id, f.home_topic, f.home_partition,
           coalesce(f.series_id = ANY(homeless), false)
    FROM find_series(their_tenants, sources, metrics, said) AS f;
END
$$;

COMMENT ON FUNCTION register_series IS 'Numbers and homes of the named series, each name given once; adds unknown ones up to max_per_tenant (NULL beyond it) with the home given, tells which known ones were without a home until now, and merges attributes';

-- What the owner of a partition must know before it stores more of it.
CREATE FUNCTION latest_readings(of_topic text, of_partition integer)
RETURNS TABLE (series_id integer, latest timestamptz)
LANGUAGE sql STABLE
AS $$
    SELECT s.series_id, r.ts
    FROM series AS s
    CROSS JOIN LATERAL (
        SELECT ts FROM readings WHERE series_id = s.series_id ORDER BY ts DESC LIMIT 1
    ) AS r
    WHERE s.home_topic = of_topic AND s.home_partition = of_partition
$$;

COMMENT ON FUNCTION latest_readings IS 'Event time of the latest reading of each series that the partition owns';

DROP FUNCTION advance_progress;
CREATE FUNCTION advance_progress(
    of_topic text, of_partition integer, with_epoch bigint, base bigint, next bigint,
    believed_kept_from timestamptz,
    new_readings bigint, new_dead_letters bigint, new_duplicates bigint, new_corrections bigint,
    new_forwarded bigint
)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE progress AS p
    SET next_offset = next,
        updated_at = clock_timestamp(),
        written = p.written + new_readings,
        dead_letters = p.dead_letters + new_dead_letters,
        duplicates = p.duplicates + new_duplicates,
        corrections = p.corrections + new_corrections,
        forwarded = p.forwarded + new_forwarded
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

COMMENT ON FUNCTION advance_progress IS 'Move a partition from offset base to next; raise SQLSTATE SG001 when it is not at base under that epoch, SG002 when readings are kept from another time on than believed';

CREATE OR REPLACE VIEW pipeline_progress AS
SELECT topic, partition, next_offset, owner, updated_at, written, dead_letters,
       duplicates, corrections, forwarded
FROM progress;

COMMENT ON COLUMN pipeline_progress.duplicates IS 'Repeats of stored readings that arrived since the partition was first claimed';
COMMENT ON COLUMN pipeline_progress.corrections IS 'Readings that replaced the value of a stored one';
COMMENT ON COLUMN pipeline_progress.forwarded IS 'Readings handed to the partition that owns their series';

CREATE VIEW producer_gaps AS
SELECT p.topic, p.partition, p.tenant, p.producer, p.epoch, lower(gap) AS first_missing, upper(gap) - 1 AS last_missing,
       p.last_seen
FROM producers AS p
CROSS JOIN LATERAL unnest(int8multirange(range_merge(p.seen)) - p.seen) AS gap;

COMMENT ON VIEW producer_gaps IS 'Readings that numbering producers have sent and that have not arrived';
COMMENT ON COLUMN producer_gaps.topic IS 'Kafka topic';
COMMENT ON COLUMN producer_gaps.partition IS 'Kafka partition';
COMMENT ON COLUMN producer_gaps.tenant IS 'Whose series it sends';
COMMENT ON COLUMN producer_gaps.producer IS 'What the producer calls itself';
COMMENT ON COLUMN producer_gaps.epoch IS 'Its latest epoch';
COMMENT ON COLUMN producer_gaps.first_missing IS 'First sequence number of the gap';
COMMENT ON COLUMN producer_gaps.last_missing IS 'Last sequence number of the gap';
COMMENT ON COLUMN producer_gaps.last_seen IS 'Kafka timestamp of the producer''s last record';

GRANT SELECT, INSERT ON reading_versions TO streamgauge_writer;
GRANT UPDATE (value, quality) ON readings TO streamgauge_writer;
GRANT SELECT, INSERT, UPDATE ON producers TO streamgauge_writer;
GRANT SELECT, INSERT, DELETE ON producer_journal, outbox TO streamgauge_writer;
GRANT SELECT ON raw_retention, producer_gaps TO streamgauge_writer;
GRANT EXECUTE ON FUNCTION find_series, register_series, latest_readings, advance_progress TO streamgauge_writer;
GRANT SELECT ON reading_versions, producers, producer_gaps TO streamgauge_reader;
