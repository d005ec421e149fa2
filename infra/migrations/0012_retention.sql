-- How long readings and rollups are kept, what was archived before it was dropped, and what takes the space.

-- Of several policies that fit a series the one with the more exact tenant counts, then the more exact metric.
CREATE TABLE retention_policies (
    tenant      text NOT NULL DEFAULT '*',
    metric      text NOT NULL DEFAULT '*',
    raw_days    integer CONSTRAINT raw_days_are_some CHECK (raw_days > 0),
    rollup_days integer,
    archived    boolean NOT NULL DEFAULT true,
    PRIMARY KEY (tenant, metric),
    CONSTRAINT rollups_outlive_readings CHECK (
        rollup_days IS NULL OR (raw_days IS NOT NULL AND rollup_days >= raw_days)
    )
);
INSERT INTO retention_policies (raw_days, rollup_days) VALUES (90, 1826);

COMMENT ON TABLE retention_policies IS 'How long the readings and rollups of which series are kept; streamgauge retention set changes it, streamgauge retention run does it';
COMMENT ON COLUMN retention_policies.tenant IS 'Tenants that it is for; * stands for any letters';
COMMENT ON COLUMN retention_policies.metric IS 'Metrics that it is for; * stands for any letters';
COMMENT ON COLUMN retention_policies.raw_days IS 'Readings are kept for so many days of event time; NULL for ever';
COMMENT ON COLUMN retention_policies.rollup_days IS 'Their rollups are kept for so many days; NULL for ever';
COMMENT ON COLUMN retention_policies.archived IS 'Whether readings are dropped only when an archive has them';
COMMENT ON CONSTRAINT raw_days_are_some ON retention_policies IS 'A day is the least';
COMMENT ON CONSTRAINT rollups_outlive_readings ON retention_policies IS 'Rollups are computed again while there are readings';

CREATE FUNCTION fits(name text, pattern text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN name LIKE replace(replace(replace(replace(pattern, '\', '\\'), '%', '\%'), '_', '\_'), '*', '%');

COMMENT ON FUNCTION fits(text, text) IS 'Whether a name is like a pattern, in which * stands for any letters';

CREATE VIEW series_policies AS
SELECT s.series_id, s.tenant, s.metric, p.raw_days, p.rollup_days, coalesce(p.archived, true) AS archived
FROM series AS s
LEFT JOIN (
    SELECT kinds.tenant, kinds.metric, counts.raw_days, counts.rollup_days, counts.archived
    FROM (SELECT DISTINCT tenant, metric FROM series) AS kinds
    CROSS JOIN LATERAL (
        SELECT * FROM retention_policies AS each
        WHERE fits(kinds.tenant, each.tenant) AND fits(kinds.metric, each.metric)
        ORDER BY strpos(each.tenant, '*') > 0, length(each.tenant) DESC, each.tenant,
                 strpos(each.metric, '*') > 0, length(each.metric) DESC, each.metric
        LIMIT 1
    ) AS counts
) AS p ON p.tenant = s.tenant AND p.metric = s.metric;

COMMENT ON VIEW series_policies IS 'The policy that counts for each series; all is kept of one that none fits';
COMMENT ON COLUMN series_policies.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN series_policies.tenant IS 'Whose series it is';
COMMENT ON COLUMN series_policies.metric IS 'What it measures';
COMMENT ON COLUMN series_policies.raw_days IS 'Its readings are kept for so many days of event time; NULL for ever';
COMMENT ON COLUMN series_policies.rollup_days IS 'Its rollups are kept for so many days; NULL for ever';
COMMENT ON COLUMN series_policies.archived IS 'Whether its readings are dropped only when an archive has them';

-- Beside raw_retention, which is for all of them.
CREATE TABLE series_retention (
    series_id    integer PRIMARY KEY,
    kept_from    timestamptz NOT NULL
        CONSTRAINT kept_from_begins_a_day CHECK (kept_from = date_bin('1 day', kept_from, 'epoch')),
    rollups_from timestamptz NOT NULL DEFAULT '-infinity'
);
ALTER TABLE raw_retention ADD COLUMN raised integer NOT NULL DEFAULT 0;

COMMENT ON COLUMN raw_retention.raised IS 'How often rows of series_retention were raised';

COMMENT ON TABLE series_retention IS 'Series whose readings are kept from a later time on than raw_retention says';
COMMENT ON COLUMN series_retention.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN series_retention.kept_from IS 'Begin of a day (UTC). Whoever raises it raises the epoch of the partition that owns the series as well, in one transaction';
COMMENT ON COLUMN series_retention.rollups_from IS 'Its closed buckets of days before were dropped by themselves';
COMMENT ON CONSTRAINT kept_from_begins_a_day ON series_retention IS 'A bucket is made of readings that are all kept, or none of which need be';

CREATE FUNCTION readings_kept_from(of_series integer) RETURNS timestamptz
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT greatest(r.kept_from, (SELECT s.kept_from FROM series_retention AS s WHERE s.series_id = of_series))
    FROM raw_retention AS r;
END;

COMMENT ON FUNCTION readings_kept_from(integer) IS 'From when on the readings of a series are kept';

-- What a worker may still need, or somebody waits for: a day that begins earlier may be given up.
CREATE VIEW retention_holds AS
SELECT date_bin('1 day', found.earliest, 'epoch') AS kept_from,
       format('late readings of %s wait to be computed into rollups', found.earliest) AS reason
FROM (
    SELECT min(dirty.bucket) AS earliest
    FROM (SELECT 0 AS width_s UNION SELECT width_s FROM rollup_levels) AS each
    CROSS JOIN LATERAL (
        SELECT d.bucket FROM dirty_buckets AS d WHERE d.width_s = each.width_s ORDER BY d.bucket LIMIT 1
    ) AS dirty
) AS found
WHERE found.earliest IS NOT NULL
UNION ALL
SELECT '-infinity', format('rollups of level %s are being computed from what was stored before', name)
FROM rollup_levels WHERE unmarked_before IS NOT NULL
UNION ALL
SELECT coalesce(date_bin('1 day', p.released_to, 'epoch'), '-infinity'),
       format('%s/%s has come to %s in event time', p.topic, p.partition, coalesce(p.released_to::text, 'nothing yet'))
FROM progress AS p
WHERE EXISTS (SELECT FROM series AS s WHERE s.home_topic = p.topic AND s.home_partition = p.partition);

COMMENT ON VIEW retention_holds IS 'What keeps readings from being given up, and rollups from being dropped';
COMMENT ON COLUMN retention_holds.kept_from IS 'From this day on (UTC) all is still needed';
COMMENT ON COLUMN retention_holds.reason IS 'What needs it';

CREATE TABLE archive_files (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path           text NOT NULL UNIQUE,
    tenant         text NOT NULL,
    begins         timestamptz NOT NULL,
    ends           timestamptz NOT NULL,
    series_ids     integer[] NOT NULL,
    counts         bigint[] NOT NULL CONSTRAINT counts_are_of_series CHECK (cardinality(counts) = cardinality(series_ids)),
    readings       bigint NOT NULL,
    first_ts       timestamptz NOT NULL,
    last_ts        timestamptz NOT NULL,
    lowest         double precision,
    highest        double precision,
    bytes          bigint NOT NULL,
    sha256         text NOT NULL,
    archived_at    timestamptz NOT NULL DEFAULT now(),
    restored_until timestamptz
);
CREATE INDEX archive_files_begins ON archive_files (begins, tenant);

COMMENT ON TABLE archive_files IS 'Which readings are in which file of the archive: each was read back before it was noted here';
COMMENT ON COLUMN archive_files.id IS 'Number of the file';
COMMENT ON COLUMN archive_files.path IS 'Its path below setting archive_url';
COMMENT ON COLUMN archive_files.tenant IS 'Whose readings it holds';
COMMENT ON COLUMN archive_files.begins IS 'Where the chunk begins that they were in';
COMMENT ON COLUMN archive_files.ends IS 'Where that chunk ends';
COMMENT ON COLUMN archive_files.series_ids IS 'The series whose readings of that time it holds, all of them';
COMMENT ON COLUMN archive_files.counts IS 'How many readings of each of these series';
COMMENT ON CONSTRAINT counts_are_of_series ON archive_files IS 'The one beside the other';
COMMENT ON COLUMN archive_files.readings IS 'How many readings';
COMMENT ON COLUMN archive_files.first_ts IS 'Event time of the earliest';
COMMENT ON COLUMN archive_files.last_ts IS 'Event time of the latest';
COMMENT ON COLUMN archive_files.lowest IS 'Lowest value; NULL where there is none';
COMMENT ON COLUMN archive_files.highest IS 'Highest value; NULL where there is none';
COMMENT ON COLUMN archive_files.bytes IS 'Its size';
COMMENT ON COLUMN archive_files.sha256 IS 'SHA-256 of its bytes, in hexadecimal';
COMMENT ON COLUMN archive_files.archived_at IS 'When it was written';
COMMENT ON COLUMN archive_files.restored_until IS 'Its readings are back in table readings, until then at least; NULL where they were never restored';
COMMENT ON INDEX archive_files_begins IS 'What the archive has of a time';

-- A text, so that nothing here depends on views of the extension, which its next version may replace.
CREATE FUNCTION sizes_of_chunks()
RETURNS TABLE (
    chunk text, begins timestamptz, ends timestamptz, compressed boolean,
    heap_bytes bigint, index_bytes bigint, bytes bigint
)
LANGUAGE sql STABLE
SET search_path TO pg_catalog, public, pg_temp
AS $$
    SELECT c.chunk_name, c.range_start, c.range_end, coalesce(c.is_compressed, false),
           d.table_bytes + d.toast_bytes, d.index_bytes, d.total_bytes
    FROM timescaledb_information.chunks AS c
    JOIN chunks_detailed_size('public.readings') AS d USING (chunk_schema, chunk_name)
    WHERE c.hypertable_schema = 'public' AND c.hypertable_name = 'readings'
$$;

COMMENT ON FUNCTION sizes_of_chunks() IS 'What each chunk of table readings takes on disk';

CREATE VIEW capacity_chunks AS SELECT * FROM sizes_of_chunks();

COMMENT ON VIEW capacity_chunks IS 'What each chunk of table readings takes on disk';
COMMENT ON COLUMN capacity_chunks.chunk IS 'Name of the chunk';
COMMENT ON COLUMN capacity_chunks.begins IS 'Event time that it begins at';
COMMENT ON COLUMN capacity_chunks.ends IS 'Event time that it ends before';
COMMENT ON COLUMN capacity_chunks.compressed IS 'Whether it is in the columnstore';
COMMENT ON COLUMN capacity_chunks.heap_bytes IS 'Bytes of its rows';
COMMENT ON COLUMN capacity_chunks.index_bytes IS 'Bytes of its indexes';
COMMENT ON COLUMN capacity_chunks.bytes IS 'Bytes of all of it';

-- Rows are counted where they were counted already: in the widest level of the rollups, open buckets with them.
CREATE FUNCTION series_readings()
RETURNS TABLE (series_id integer, day timestamptz, readings bigint)
LANGUAGE plpgsql STABLE
SET search_path TO pg_catalog, public, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE format($sql$
        SELECT r.series_id, date_bin('1 day', r.bucket, 'epoch'), sum(r.readings)::bigint
        FROM rollup_parts_%s AS r
        LEFT JOIN series_retention AS s USING (series_id)
        WHERE r.bucket >= greatest((SELECT kept_from FROM raw_retention), s.kept_from) GROUP BY 1, 2
    $sql$, (SELECT name FROM rollup_levels ORDER BY width_s DESC LIMIT 1));
END
$$;

COMMENT ON FUNCTION series_readings() IS 'How many readings each series has on each day (UTC) that is kept, as its rollups say';

CREATE VIEW capacity_series AS
WITH counted AS (
    SELECT r.series_id, sum(r.readings)::bigint AS readings, count(*) AS days FROM series_readings() AS r GROUP BY 1
), whole AS (
    SELECT (SELECT sum(c.bytes) FROM capacity_chunks AS c) / nullif((SELECT sum(c.readings) FROM counted AS c), 0) AS each_bytes
)
SELECT s.series_id,
       s.tenant,
       s.source,
       s.metric,
       c.readings,
       round(c.readings * w.each_bytes)::bigint AS bytes,
       round(c.readings * w.each_bytes / c.days)::bigint AS bytes_a_day
FROM counted AS c JOIN series AS s USING (series_id) CROSS JOIN whole AS w;

COMMENT ON VIEW capacity_series IS 'What each series takes of table readings: an estimate, its share of the readings of all chunks by its share of their bytes';
COMMENT ON COLUMN capacity_series.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN capacity_series.tenant IS 'Whose series it is';
COMMENT ON COLUMN capacity_series.source IS 'What is measured: a machine, a sensor, a service';
COMMENT ON COLUMN capacity_series.metric IS 'Which of its quantities';
COMMENT ON COLUMN capacity_series.readings IS 'How many of its readings are kept, as its rollups say';
COMMENT ON COLUMN capacity_series.bytes IS 'About so many bytes';
COMMENT ON COLUMN capacity_series.bytes_a_day IS 'About so many for each day that has some';

CREATE VIEW capacity_tenants AS
SELECT tenant, count(*) AS series, sum(readings)::bigint AS readings, sum(bytes)::bigint AS bytes,
       sum(bytes_a_day)::bigint AS bytes_a_day
FROM capacity_series GROUP BY tenant;

COMMENT ON VIEW capacity_tenants IS 'What each tenant takes of table readings: an estimate, see capacity_series';
COMMENT ON COLUMN capacity_tenants.tenant IS 'Whose series they are';
COMMENT ON COLUMN capacity_tenants.series IS 'How many series have readings';
COMMENT ON COLUMN capacity_tenants.readings IS 'How many readings are kept';
COMMENT ON COLUMN capacity_tenants.bytes IS 'About so many bytes';
COMMENT ON COLUMN capacity_tenants.bytes_a_day IS 'About so many more on a day on which all of its series have some';

-- Not of the chunk that is being filled.
CREATE VIEW capacity_growth AS
SELECT count(*) AS chunks,
       round(sum(bytes) / nullif(sum(extract(epoch FROM ends - begins)), 0) * 86400)::bigint AS bytes_a_day,
       (SELECT sum(bytes) FROM capacity_chunks)::bigint AS bytes,
       pg_database_size(current_database()) AS database_bytes,
       (SELECT sum(f.bytes) FROM archive_files AS f)::bigint AS archive_bytes
FROM (SELECT * FROM capacity_chunks WHERE ends <= now() ORDER BY begins DESC LIMIT 7) AS latest;

COMMENT ON VIEW capacity_growth IS 'How fast table readings grows: by its seven latest chunks that are over';
COMMENT ON COLUMN capacity_growth.chunks IS 'How many chunks this is said by';
COMMENT ON COLUMN capacity_growth.bytes_a_day IS 'Bytes of a day of event time; NULL before a chunk is over';
COMMENT ON COLUMN capacity_growth.bytes IS 'Bytes of table readings';
COMMENT ON COLUMN capacity_growth.database_bytes IS 'Bytes of this database';
COMMENT ON COLUMN capacity_growth.archive_bytes IS 'Bytes of all files of the archive';

GRANT SELECT ON series_retention TO streamgauge_writer;
