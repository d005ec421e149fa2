-- Readings by the minute, quarter of an hour, hour and day: closed buckets are rows, open ones are computed.

-- What stands in each text below is SQL that several levels share; nothing of it comes from outside.
DO $do$
DECLARE
    -- Name, width, what its buckets are computed from, time in a chunk, and what it is called.
    levels CONSTANT text[] := ARRAY[
        ARRAY['1m', '1 minute', NULL, '1 day', 'minute'],
        ARRAY['15m', '15 minutes', '1m', '7 days', 'quarter of an hour'],
        ARRAY['1h', '1 hour', '15m', '30 days', 'hour'],
        ARRAY['1d', '1 day', '1h', '365 days', 'day']
    ];
    level text[];

    -- PostgreSQL refuses products and quotients that are nearer to zero than a double can be.
    mean     CONSTANT text := 'CASE WHEN abs(%1$s) > 1e-280 THEN %1$s / (%2$s) ELSE 0 END';
    held     CONSTANT text := 'CASE WHEN abs(%1$s) > 1e-280 THEN %1$s * extract(epoch FROM %2$s)::float8 ELSE 0 END';
    rise     CONSTANT text := 'CASE WHEN %2$s < %1$s THEN %2$s ELSE %2$s - %1$s END';

    -- The mean of a bucket over time: of the value before it, of its own, and of the last until its end.
    weighted CONSTANT text := $sql$
        (CASE WHEN abs(%1$s) > 1e-280 THEN %1$s * extract(epoch FROM r.first_at - %2$s)::float8 ELSE 0 END
         + r.integral
         + CASE WHEN r.complete AND abs(r.last) > 1e-280
                THEN r.last * extract(epoch FROM r.bucket + INTERVAL %3$L - r.last_at)::float8 ELSE 0 END)
        / nullif(extract(epoch FROM CASE WHEN r.complete THEN r.bucket + INTERVAL %3$L ELSE r.last_at END
                                    - %2$s)::float8, 0)
    $sql$;
    bucket_before CONSTANT text := $sql$
        FROM rollup_closed_%1$s AS b
        WHERE b.series_id = s.series_id AND b.bucket < r.bucket
          AND b.bucket >= r.bucket - INTERVAL '1 day' AND b.readings > b.bad
        ORDER BY b.bucket DESC LIMIT 1
    $sql$;

    closed_rows CONSTANT text := $sql$
        SELECT series_id, bucket, readings, bad, sum, nullif(min, 'NaN') AS min, nullif(max, 'NaN') AS max,
               nullif(first, 'NaN') AS first, nullif(first_at, '-infinity') AS first_at,
               nullif(last, 'NaN') AS last, nullif(last_at, '-infinity') AS last_at,
               m2, increase, integral, revision, refreshed_at, true AS complete,
               NULL::double precision AS before
        FROM rollup_closed_%1$s
    $sql$;
    open_rows CONSTANT text := $sql$
        SELECT computed.*, 0 AS revision, now() AS refreshed_at, false AS complete,
               lag(last) OVER (PARTITION BY readings > bad ORDER BY bucket) AS before
        FROM (%1$s) AS computed
    $sql$;
    parts CONSTANT text :=
        'r.bucket, r.readings, r.bad, r.sum, r.min, r.max, r.first, r.first_at, r.last, r.last_at, r.m2,'
        ' r.increase, r.integral, r.revision, r.refreshed_at, r.complete';

    -- A reading counts for what follows it, but for a day at most. Each column looks for the bucket before by
    -- itself: so those that are not asked for cost nothing.
    named CONSTANT text := $sql$
        r.bucket,
        s.tenant,
        s.source,
        s.metric,
        r.readings,
        r.bad,
        CASE WHEN r.readings > r.bad THEN %1$s END AS mean,
        r.min,
        r.max,
        CASE WHEN r.readings > r.bad THEN r.sum END AS sum,
        CASE WHEN r.readings - r.bad > 1 THEN sqrt(%2$s) END AS stddev,
        r.first,
        r.first_at,
        r.last,
        r.last_at,
        r.increase + coalesce(CASE WHEN r.before IS NULL THEN (SELECT %3$s %5$s) ELSE %4$s END, 0) AS increase,
        CASE WHEN r.readings > r.bad THEN coalesce(
            CASE WHEN r.before IS NULL THEN (SELECT %6$s %5$s) ELSE %7$s END, %8$s, r.last
        ) END AS time_weighted_mean,
        r.complete,
        r.revision,
        r.refreshed_at,
        s.unit,
        s.site,
        s.system
    $sql$;

    -- One row of a level from the readings of its bucket.
    from_readings CONSTANT text := $sql$
        SELECT bucket,
               count(*) AS readings,
               count(*) - count(v) AS bad,
               coalesce(sum(v), 0) AS sum,
               min(v) AS min,
               max(v) AS max,
               first(v, ts) FILTER (WHERE v IS NOT NULL) AS first,
               min(ts) FILTER (WHERE v IS NOT NULL) AS first_at,
               last(v, ts) FILTER (WHERE v IS NOT NULL) AS last,
               max(ts) FILTER (WHERE v IS NOT NULL) AS last_at,
               coalesce(regr_sxx(v, v), 0) AS m2,
               coalesce(sum(%3$s), 0) AS increase,
               coalesce(sum(%4$s), 0) AS integral
        FROM (
            SELECT of_series.*,
                   lag(v) OVER in_bucket AS before,
                   lead(ts) OVER in_bucket - ts AS until_next
            FROM (
                SELECT date_bin(%1$L, ts, 'epoch') AS bucket,
                       ts,
                       CASE WHEN quality <> 2 AND abs(value) <= 1e140 THEN value END AS v
                FROM readings
                WHERE series_id = marks.series_id AND ts >= date_bin(%2$L, marks.released_to, 'epoch')
            ) AS of_series
            WINDOW in_bucket AS (PARTITION BY bucket, v IS NULL ORDER BY ts)
        ) AS neighbours
        GROUP BY bucket
    $sql$;

    -- One row of a level from the rows of the level below.
    from_rows CONSTANT text := $sql$
        SELECT bucket,
               sum(readings)::bigint AS readings,
               sum(bad)::bigint AS bad,
               sum(sum) AS sum,
               min(min) AS min,
               max(max) AS max,
               first(first, first_at) FILTER (WHERE readings > bad) AS first,
               min(first_at) AS first_at,
               last(last, last_at) FILTER (WHERE readings > bad) AS last,
               max(last_at) AS last_at,
               sum(m2 + CASE WHEN abs(apart) > 1e-140 THEN (readings - bad) * apart * apart ELSE 0 END) AS m2,
               sum(increase + coalesce(%3$s, 0)) AS increase,
               sum(integral + coalesce(%4$s, 0)) AS integral
        FROM (
            SELECT of_series.*,
                   lag(last) OVER in_bucket AS before,
                   lead(first_at) OVER in_bucket - last_at AS until_next,
                   CASE WHEN readings > bad THEN %5$s - %6$s ELSE 0 END AS apart
            FROM (
                SELECT date_bin(%1$L, bucket, 'epoch') AS bucket, bucket AS part,
                       readings, bad, sum, min, max, first, first_at, last, last_at, m2, increase, integral,
                       sum(sum) OVER whole AS whole_sum,
                       sum(readings - bad) OVER whole AS whole_usable
                FROM rollup_parts_%7$s
                WHERE series_id = marks.series_id AND bucket >= date_bin(%2$L, marks.released_to, 'epoch')
                WINDOW whole AS (PARTITION BY date_bin(%1$L, bucket, 'epoch'))
            ) AS of_series
            WINDOW in_bucket AS (PARTITION BY bucket, readings > bad ORDER BY part)
        ) AS neighbours
        GROUP BY bucket
    $sql$;
    columns CONSTANT text[] := ARRAY[
        ARRAY['bucket', 'Begin of the bucket'],
        ARRAY['series_id', 'The series, a row of table series'],
        ARRAY['tenant', 'Whose series it is'],
        ARRAY['source', 'What is measured: a machine, a sensor, a service'],
        ARRAY['metric', 'Which of its quantities'],
        ARRAY['readings', 'How many readings, bad ones among them'],
        ARRAY['bad', 'How many of them say nothing: of bad quality, or beyond 1e140. Nothing else counts them'],
        ARRAY['mean', 'Mean of the values; NULL where there is none, like all that follows'],
        ARRAY['sum', 'Sum of the values'],
        ARRAY['min', 'Lowest value'],
        ARRAY['max', 'Highest value'],
        ARRAY['stddev', 'Standard deviation of the values, as of a sample; NULL of a single one'],
        ARRAY['first', 'Earliest value'],
        ARRAY['first_at', 'Event time of the earliest value'],
        ARRAY['last', 'Latest value'],
        ARRAY['last_at', 'Event time of the latest value'],
        ARRAY['m2', 'Sum of the squared differences from the mean'],
        ARRAY['increase', 'What a counter rose by, a fall being a restart from 0: in a table from first to last; in a view also since the last value before the bucket, unless that is more than a day earlier'],
        ARRAY['integral', 'Values times the seconds that each held until the next, from first to last'],
        ARRAY['time_weighted_mean', 'Mean over the time of the bucket, each value holding until the next; the last one before it, too, unless that is more than a day earlier'],
        ARRAY['revision', 'How often the bucket was computed again because of something late'],
        ARRAY['refreshed_at', 'When it was computed'],
        ARRAY['complete', 'Whether the bucket is closed: no more readings come in order'],
        ARRAY['unit', 'What the values count'],
        ARRAY['site', 'Where the source stands'],
        ARRAY['system', 'The larger thing that the source is a part of']
    ];
    about text[];
    described regclass;
    level_rows text;
    sources text[];
    row_named text;
BEGIN
    CREATE VIEW rollup_marks AS
    SELECT s.series_id, coalesce(p.released_to, '-infinity') AS released_to
    FROM series AS s
    LEFT JOIN progress AS p ON p.topic = s.home_topic AND p.partition = s.home_partition;

    COMMENT ON VIEW rollup_marks IS 'Up to where the buckets of each series are closed';
    COMMENT ON COLUMN rollup_marks.series_id IS 'The series, a row of table series';
    COMMENT ON COLUMN rollup_marks.released_to IS 'A bucket that ends by then is closed; -infinity before there is one';

    FOREACH level SLICE 1 IN ARRAY levels LOOP
        -- Eight-byte columns first. Without a value NaN and -infinity stand in it: COPY needs rows of one width.
        EXECUTE format($sql$
            CREATE TABLE rollup_closed_%1$s (
                bucket       timestamptz NOT NULL,
                readings     bigint NOT NULL,
                bad          bigint NOT NULL,
                sum          double precision NOT NULL,
                min          double precision NOT NULL,
                max          double precision NOT NULL,
                first        double precision NOT NULL,
                first_at     timestamptz NOT NULL,
                last         double precision NOT NULL,
                last_at      timestamptz NOT NULL,
                m2           double precision NOT NULL,
                increase     double precision NOT NULL,
                integral     double precision NOT NULL,
                refreshed_at timestamptz NOT NULL DEFAULT now(),
                series_id    integer NOT NULL,
                revision     integer NOT NULL DEFAULT 0
            )
        $sql$, level[1]);
        PERFORM create_hypertable(
            format('rollup_closed_%s', level[1])::regclass, by_range('bucket', level[4]::interval),
            create_default_indexes => false
        );
        EXECUTE format('CREATE UNIQUE INDEX ON rollup_closed_%s (series_id, bucket)', level[1]);

        level_rows := CASE WHEN level[3] IS NULL THEN format(
            from_readings, level[2], level[2],
            format(rise, 'before', 'v'), format(held, 'v', 'until_next')
        ) ELSE format(
            from_rows, level[2], level[2],
            format(rise, 'before', 'first'), format(held, 'last', 'until_next'),
            format(mean, 'sum', 'readings - bad'), format(mean, 'whole_sum', 'whole_usable'), level[3]
        ) END;
        -- Of each kind by itself, or what is asked of names would not reach the open buckets of its series.
        sources := ARRAY[format('JOIN (%s) AS r USING (series_id)', format(closed_rows, level[1])), format(
            'JOIN rollup_marks AS marks USING (series_id) CROSS JOIN LATERAL (%s) AS r', format(open_rows, level_rows)
        )];
        EXECUTE format(
            'CREATE VIEW rollup_parts_%1$s AS SELECT s.series_id, %2$s FROM series AS s %3$s'
            ' UNION ALL SELECT s.series_id, %2$s FROM series AS s %4$s', level[1], parts, sources[1], sources[2]
        );
        row_named := format(
            named, format(mean, 'r.sum', 'r.readings - r.bad'), format(mean, 'r.m2', 'r.readings - r.bad - 1'),
            format(rise, 'b.last', 'r.first'), format(rise, 'r.before', 'r.first'),
            format(bucket_before, level[1]),
            format(weighted, 'b.last', 'r.bucket', level[2]), format(weighted, 'r.before', 'r.bucket', level[2]),
            format(weighted, '0::float8', 'r.first_at', level[2])
        );
        EXECUTE format(
            'CREATE VIEW rollup_%1$s AS SELECT %2$s FROM series AS s %3$s UNION ALL SELECT %2$s FROM series AS s %4$s',
            level[1], row_named, sources[1], sources[2]
        );

        FOREACH about SLICE 1 IN ARRAY columns LOOP
            FOR described IN
                SELECT attrelid::regclass FROM pg_attribute
                WHERE attname = about[1]
                  AND attrelid = ANY (ARRAY[
                      format('rollup_closed_%s', level[1])::regclass, format('rollup_parts_%s', level[1])::regclass,
                      format('rollup_%s', level[1])::regclass
                  ])
            LOOP
                EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', described, about[1], about[2]);
            END LOOP;
        END LOOP;
        EXECUTE format('COMMENT ON TABLE rollup_closed_%s IS %L', level[1], format(
            'Readings of each series by the %s, where no more come in order: one row for each that has some. '
            'Without a value min, max, first and last are NaN, and their times -infinity', level[5]
        ));
        EXECUTE format('COMMENT ON VIEW rollup_parts_%s IS %L', level[1], format(
            'Closed buckets and open ones of a %s, by the numbers of their series', level[5]
        ));
        EXECUTE format('COMMENT ON VIEW rollup_%s IS %L', level[1], format(
            'Readings of each series by the %s (UTC), as fresh as the readings: always bound bucket', level[5]
        ));
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON rollup_closed_%s TO streamgauge_writer', level[1]);
        EXECUTE format('GRANT SELECT ON rollup_%s TO streamgauge_reader, streamgauge_writer', level[1]);
    END LOOP;
END
$do$;

ALTER TABLE dirty_buckets ADD COLUMN width interval NOT NULL DEFAULT '1 minute';

COMMENT ON TABLE dirty_buckets IS 'Buckets of series to compute again: a late reading or a late correction fell into them, or a narrower bucket in them changed';
COMMENT ON COLUMN dirty_buckets.bucket IS 'Begin of the bucket';
COMMENT ON COLUMN dirty_buckets.width IS 'How long it is';

-- Oldest first: those at the end are open and wait.
CREATE INDEX dirty_buckets_width_bucket ON dirty_buckets (width, bucket);

COMMENT ON INDEX dirty_buckets_width_bucket IS 'What is to be computed next of each level';

-- What was released before there were rollups. A series that nobody has written since it got a home has no mark
-- yet; what is open waits in any case.
INSERT INTO dirty_buckets (series_id, bucket)
SELECT DISTINCT series_id, date_bin('1 minute', ts, 'epoch') FROM readings;

GRANT DELETE ON dirty_buckets TO streamgauge_writer;
GRANT SELECT ON rollup_marks TO streamgauge_writer;
