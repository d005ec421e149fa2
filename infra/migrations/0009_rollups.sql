-- Readings by the minute, quarter of an hour, hour and day: closed buckets are rows, open ones are computed.

-- In the order of flushes, which take what follows one after the other: otherwise both may wait for each other.
LOCK TABLE dirty_buckets IN ACCESS EXCLUSIVE MODE;
LOCK TABLE progress IN EXCLUSIVE MODE;

CREATE TABLE rollup_levels (
    width_s         integer PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    unmarked_before timestamptz
);

COMMENT ON TABLE rollup_levels IS 'The levels that rollups are kept of, each computed from the next narrower one';
COMMENT ON COLUMN rollup_levels.width_s IS 'Seconds of a bucket';
COMMENT ON COLUMN rollup_levels.name IS 'Its name in those of tables and views';
COMMENT ON COLUMN rollup_levels.unmarked_before IS 'What is stored before and was closed when the level was made is yet to be marked, and computed; NULL where all is';

CREATE VIEW rollup_marks AS
SELECT s.series_id, coalesce(p.released_to, '-infinity') AS released_to
FROM series AS s
LEFT JOIN progress AS p ON p.topic = s.home_topic AND p.partition = s.home_partition;

COMMENT ON VIEW rollup_marks IS 'Up to where the buckets of each series are closed';
COMMENT ON COLUMN rollup_marks.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN rollup_marks.released_to IS 'A bucket that ends by then is closed; -infinity before there is one';

CREATE FUNCTION earliest_mark() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH RECURSIVE homes AS (
        (SELECT home_topic, home_partition FROM series ORDER BY home_topic, home_partition LIMIT 1)
        UNION ALL
        SELECT following.* FROM homes AS h CROSS JOIN LATERAL (
            SELECT home_topic, home_partition FROM series
            WHERE (home_topic, home_partition) > (h.home_topic, h.home_partition)
            ORDER BY home_topic, home_partition LIMIT 1
        ) AS following
    ), homeless AS (
        SELECT home_topic, home_partition FROM series WHERE home_topic IS NULL LIMIT 1
    )
    SELECT coalesce(min(coalesce(p.released_to, '-infinity')), '-infinity')
    FROM (TABLE homes UNION ALL TABLE homeless) AS h
    LEFT JOIN progress AS p ON p.topic = h.home_topic AND p.partition = h.home_partition;
END;

-- A plan has it as a constant, and not the chunks before: they are so many that planning would take longer than all
-- else. Marks move forward, so what is in a plan is too early at worst, which excludes nothing that is open.
-- Views ask as whoever reads them, who may not read what marks are made of: so both have their owner's rights.
CREATE FUNCTION open_since() RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT earliest_mark();
END;

-- Unless a partition begins in the past while somebody keeps a prepared statement.
CREATE FUNCTION is_open_since(planned timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
SET search_path TO pg_catalog, public, pg_temp
AS $$
BEGIN
    IF earliest_mark() < planned THEN
        RAISE EXCEPTION 'buckets are open since %, which is before this statement was planned for', earliest_mark()
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Run DISCARD PLANS, or connect again, and ask once more.';
    END IF;
    RETURN true;
END
$$;

COMMENT ON FUNCTION earliest_mark IS 'A bucket that ends by then is closed, whatever its series; -infinity before there is one';
COMMENT ON FUNCTION open_since IS 'The earliest mark when the statement was planned';
COMMENT ON FUNCTION is_open_since IS 'Whether that is still right; an error where it is not';

-- What is asked of times that are closed needs no look at those that are open. By default that is not found out.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I SET constraint_exclusion = on', current_database());
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE WARNING 'rollups of many series are slow to read: % may not change the database', current_user
            USING HINT = format('As its owner, run: ALTER DATABASE %I SET constraint_exclusion = on', current_database());
END
$$;

-- Where the level exists, only what its views are computed from is set. What stands in each text below is SQL
-- that several levels share.
CREATE FUNCTION make_rollup_level(level text, width interval, below text)
RETURNS void
LANGUAGE plpgsql
AS $do$
#variable_conflict use_column
DECLARE
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
    risen    CONSTANT text := '(r.increase + ' || format(rise, '%1$s', 'r.first') || ')';
    seconds  CONSTANT text := 'extract(epoch FROM r.last_at - %1$s)::float8';

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
               NULL::double precision AS before, NULL::timestamptz AS before_at
        FROM rollup_closed_%1$s
    $sql$;
    open_rows CONSTANT text := $sql$
        SELECT computed.*, 0 AS revision, now() AS refreshed_at, false AS complete,
               lag(last) OVER by_bucket AS before, lag(last_at) OVER by_bucket AS before_at
        FROM (%1$s) AS computed
        WINDOW by_bucket AS (PARTITION BY readings > bad ORDER BY bucket)
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
        coalesce(
            CASE WHEN r.before IS NULL THEN (SELECT %9$s %5$s) ELSE %10$s END,
            CASE WHEN r.last_at > r.first_at THEN %11$s END
        ) AS rate,
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
                  AND ts >= date_bin(%2$L, open_since(), 'epoch')
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
                  AND bucket >= date_bin(%2$L, open_since(), 'epoch')
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
        ARRAY['rate', 'What a counter rose by in a second: increase, by the time from the last value before to the latest; or from the earliest'],
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
    IF to_regclass(format('rollup_closed_%s', level)) IS NULL THEN
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
        $sql$, level);
        PERFORM create_hypertable(
            format('rollup_closed_%s', level)::regclass,
            by_range('bucket', greatest(INTERVAL '4 hours', least(1440 * width, INTERVAL '365 days'))),
            create_default_indexes => false
        );
        EXECUTE format('CREATE UNIQUE INDEX ON rollup_closed_%s (series_id, bucket)', level);
    END IF;

    level_rows := CASE WHEN below IS NULL THEN format(
        from_readings, width, width,
        format(rise, 'before', 'v'), format(held, 'v', 'until_next')
    ) ELSE format(
        from_rows, width, width,
        format(rise, 'before', 'first'), format(held, 'last', 'until_next'),
        format(mean, 'sum', 'readings - bad'), format(mean, 'whole_sum', 'whole_usable'), below
    ) END;
    -- Of each kind by itself, or what is asked of names would not reach the open buckets of its series.
    sources := ARRAY[format('JOIN (%s) AS r USING (series_id)', format(closed_rows, level)), format(
        'JOIN rollup_marks AS marks USING (series_id) CROSS JOIN LATERAL (%s) AS r', format(open_rows, level_rows)
    )];
    EXECUTE format(
        'CREATE OR REPLACE VIEW rollup_parts_%1$s AS SELECT s.series_id, %2$s FROM series AS s %3$s'
        ' UNION ALL SELECT s.series_id, %2$s FROM series AS s %4$s', level, parts, sources[1], sources[2]
    );
    row_named := format(
        named, format(mean, 'r.sum', 'r.readings - r.bad'), format(mean, 'r.m2', 'r.readings - r.bad - 1'),
        format(rise, 'b.last', 'r.first'), format(rise, 'r.before', 'r.first'),
        format(bucket_before, level),
        format(weighted, 'b.last', 'r.bucket', width), format(weighted, 'r.before', 'r.bucket', width),
        format(weighted, '0::float8', 'r.first_at', width),
        format(mean, format(risen, 'b.last'), format(seconds, 'b.last_at')),
        format(mean, format(risen, 'r.before'), format(seconds, 'r.before_at')),
        format(mean, 'r.increase', format(seconds, 'r.first_at'))
    );
    EXECUTE format(
        'CREATE OR REPLACE VIEW rollup_%1$s AS SELECT %2$s FROM series AS s %3$s UNION ALL SELECT %2$s FROM series AS s %4$s'
        ' WHERE r.bucket >= date_bin(%5$L, open_since(), ''epoch'') AND is_open_since(open_since())',
        level, row_named, sources[1], sources[2], width
    );

    FOREACH about SLICE 1 IN ARRAY columns LOOP
        FOR described IN
            SELECT attrelid::regclass FROM pg_attribute
            WHERE attname = about[1]
              AND attrelid = ANY (ARRAY[
                  format('rollup_closed_%s', level)::regclass, format('rollup_parts_%s', level)::regclass,
                  format('rollup_%s', level)::regclass
              ])
        LOOP
            EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', described, about[1], about[2]);
        END LOOP;
    END LOOP;
    EXECUTE format('COMMENT ON TABLE rollup_closed_%s IS %L', level, format(
        'Readings of each series in buckets of %s, where no more come in order: one row for each that has some. '
        'Without a value min, max, first and last are NaN, and their times -infinity', level
    ));
    EXECUTE format('COMMENT ON VIEW rollup_parts_%s IS %L', level, format(
        'Closed buckets and open ones of %s, by the numbers of their series', level
    ));
    EXECUTE format('COMMENT ON VIEW rollup_%s IS %L', level, format(
        'Readings of each series in buckets of %s (UTC), as fresh as the readings: always bound bucket', level
    ));
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON rollup_closed_%s TO streamgauge_writer', level);
    EXECUTE format('GRANT SELECT ON rollup_%s TO streamgauge_reader, streamgauge_writer', level);
END
$do$;

CREATE FUNCTION set_rollup_levels(wanted_s integer[], names text[])
RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    level    record;
    has_row  boolean;
    is_new   boolean := false;
    made_new boolean;
BEGIN
    -- Nobody computes. Nobody stores, and whoever closes buckets of other levels is not the owner any more: it
    -- claims again. A flush stores its rollups first, the lowest level first, and then moves its progress.
    PERFORM pg_advisory_xact_lock(hashtext('streamgauge rollups'));
    FOR level IN SELECT name, width_s = ANY (wanted_s) AS stays FROM rollup_levels ORDER BY width_s LOOP
        EXECUTE format(
            'LOCK TABLE ONLY rollup_closed_%s IN %s MODE', level.name,
            CASE WHEN level.stays THEN 'SHARE UPDATE EXCLUSIVE' ELSE 'ACCESS EXCLUSIVE' END
        );
    END LOOP;
    LOCK TABLE progress IN EXCLUSIVE MODE;
    UPDATE progress SET epoch = epoch + 1;

    FOR place IN 1 .. cardinality(wanted_s) LOOP
        PERFORM make_rollup_level(names[place], make_interval(secs => wanted_s[place]), names[place - 1]);
        made_new := is_new;
        is_new := NOT EXISTS (SELECT FROM rollup_levels WHERE width_s = wanted_s[place]);
        IF is_new THEN
            -- Above a level that is new, too, each of that one's rows will mark what it is a part of.
            INSERT INTO rollup_levels (width_s, name, unmarked_before)
            SELECT wanted_s[place], names[place], max(released_to) FILTER (WHERE NOT made_new) FROM progress;
        END IF;
    END LOOP;

    FOR level IN
        SELECT *, (SELECT min(wider) FROM unnest(wanted_s) AS wider WHERE wider > width_s) AS above_s
        FROM rollup_levels WHERE width_s <> ALL (wanted_s) ORDER BY width_s DESC -- views are made of narrower ones
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM rollup_closed_%s)', level.name) INTO has_row;
        IF has_row THEN
            RAISE EXCEPTION 'level % of the rollups has rows', level.name USING
                HINT = format(
                    'Name it in rollup_levels again, or, if nobody wants its rows: TRUNCATE rollup_closed_%s', level.name
                );
        END IF;
        EXECUTE format('DROP VIEW rollup_%1$s, rollup_parts_%1$s', level.name);
        EXECUTE format('DROP TABLE rollup_closed_%s', level.name);
        INSERT INTO dirty_buckets (series_id, bucket, width_s)
        SELECT DISTINCT series_id, date_bin(make_interval(secs => level.above_s), bucket, 'epoch'), level.above_s
        FROM dirty_buckets WHERE width_s = level.width_s AND level.above_s IS NOT NULL;
        DELETE FROM dirty_buckets WHERE width_s = level.width_s;
        UPDATE rollup_levels SET unmarked_before = greatest(unmarked_before, level.unmarked_before)
        WHERE width_s = level.above_s;
        DELETE FROM rollup_levels WHERE width_s = level.width_s;
    END LOOP;
    UPDATE dirty_buckets SET width_s = 0 WHERE width_s = wanted_s[1]; -- made of readings from now on
END
$$;

-- Ten minutes at once, the latest first: there may be years of it, and each may have millions of buckets.
CREATE FUNCTION mark_rollup_history()
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    level  record;
    since  timestamptz;
    kept   timestamptz;
    marked bigint;
    place  text;
BEGIN
    SELECT l.*, lag(l.name) OVER (ORDER BY l.width_s) AS below, l.width_s = min(l.width_s) OVER () AS is_lowest
    INTO level
    FROM rollup_levels AS l ORDER BY l.unmarked_before IS NULL, l.width_s LIMIT 1;
    IF level.unmarked_before IS NULL THEN
        RETURN NULL;
    END IF;
    since := date_bin(
        make_interval(secs => level.width_s * ceil(600.0 / level.width_s)),
        level.unmarked_before - INTERVAL '1 microsecond', 'epoch'
    );
    kept := CASE WHEN level.is_lowest THEN (SELECT kept_from FROM raw_retention) ELSE '-infinity' END;
    place := CASE
        WHEN level.is_lowest THEN '(SELECT series_id, ts AS at FROM readings)'
        ELSE format('(SELECT series_id, bucket AS at FROM rollup_closed_%s)', level.below)
    END;
    EXECUTE format($sql$
        INSERT INTO dirty_buckets (series_id, bucket, width_s)
        SELECT s.series_id, found.bucket, $1 FROM series AS s CROSS JOIN LATERAL (
            SELECT DISTINCT date_bin(make_interval(secs => $2), at, 'epoch') AS bucket FROM %s AS stored
            WHERE series_id = s.series_id AND at >= $3 AND at < $4
        ) AS found
    $sql$, place) USING
        CASE WHEN level.is_lowest THEN 0 ELSE level.width_s END,
        CASE WHEN level.is_lowest THEN greatest(60, level.width_s) ELSE level.width_s END,
        greatest(since, kept), level.unmarked_before;
    GET DIAGNOSTICS marked = ROW_COUNT;
    IF marked = 0 THEN
        EXECUTE format($sql$
            SELECT max(found.at) + INTERVAL '1 microsecond' FROM series AS s CROSS JOIN LATERAL (
                SELECT at FROM %s AS stored
                WHERE series_id = s.series_id AND at >= $1 AND at < $2 ORDER BY at DESC LIMIT 1
            ) AS found
        $sql$, place) INTO since USING kept, since;
    END IF;
    UPDATE rollup_levels SET unmarked_before = since WHERE width_s = level.width_s;
    RETURN level.name;
END
$$;

COMMENT ON FUNCTION make_rollup_level IS 'Makes the table and the views of a level that is computed from the one below, or from the readings';
COMMENT ON FUNCTION set_rollup_levels IS 'Keeps rollups of these levels from now on, each a multiple of the one before; what is new is computed from what is there, later';
COMMENT ON FUNCTION mark_rollup_history IS 'Mark some of what was stored before a level was made, for whoever computes rollups; returns which level, NULL where nothing is left';

-- So no bucket of any level lies on both sides.
UPDATE raw_retention SET kept_from = date_bin('1 day', kept_from - INTERVAL '1 microsecond', 'epoch') + INTERVAL '1 day';
ALTER TABLE raw_retention ADD CONSTRAINT kept_from_begins_a_day CHECK (kept_from = date_bin('1 day', kept_from, 'epoch'));

COMMENT ON COLUMN raw_retention.kept_from IS 'Begin of a day (UTC). An earlier reading cannot be told from a repeat, and is refused, and no rollup is computed from one; raise it before chunks are dropped';
COMMENT ON CONSTRAINT kept_from_begins_a_day ON raw_retention IS 'A bucket is made of readings that are all kept, or none of which need be';

ALTER TABLE dirty_buckets DROP COLUMN id;
ALTER TABLE dirty_buckets ADD COLUMN width_s integer NOT NULL DEFAULT 0;

COMMENT ON TABLE dirty_buckets IS 'What is to be computed again: a late reading or a late correction fell into it, or a narrower bucket in it changed';
COMMENT ON COLUMN dirty_buckets.bucket IS 'Where it begins';
COMMENT ON COLUMN dirty_buckets.width_s IS 'Seconds of a bucket that is made of narrower ones; 0 for the buckets that are made of the readings of a minute';

-- Oldest first: those at the end are open and wait.
CREATE INDEX dirty_buckets_width_bucket ON dirty_buckets (width_s, bucket);

COMMENT ON INDEX dirty_buckets_width_bucket IS 'What is to be computed next of each level';

-- Workers of the program before would move what is released without closing its buckets. Their claims ask for it.
ALTER FUNCTION latest_readings RENAME TO latest_of_series;

SELECT set_rollup_levels(ARRAY[60, 900, 3600, 86400], ARRAY['1m', '15m', '1h', '1d']);

CREATE VIEW rollup_state AS
SELECT count(*) + (SELECT count(unmarked_before) FROM rollup_levels) AS waiting, min(marked_at) AS waiting_since
FROM (
    SELECT d.marked_at
    FROM (
        SELECT CASE WHEN is_lowest THEN 0 ELSE width_s END AS mark_s,
               make_interval(secs => CASE WHEN is_lowest THEN greatest(60, width_s) ELSE width_s END) AS width
        FROM (SELECT width_s, width_s = min(width_s) OVER () AS is_lowest FROM rollup_levels) AS each_level
    ) AS l
    JOIN dirty_buckets AS d
      ON d.width_s = l.mark_s AND d.bucket < date_bin(l.width, (SELECT max(released_to) FROM progress), 'epoch')
    JOIN rollup_marks AS m USING (series_id)
    WHERE date_bin(l.width, d.bucket, 'epoch') + l.width <= m.released_to
    LIMIT 100000
) AS closed;

COMMENT ON VIEW rollup_state IS 'What of the closed buckets waits to be computed again';
COMMENT ON COLUMN rollup_state.waiting IS 'How many marks; at most 100,000 are counted, and one more for each level that was made and is not marked to its begin';
COMMENT ON COLUMN rollup_state.waiting_since IS 'When the oldest of them was set; NULL when nothing waits';

-- Whoever reads the new topic goes on where the old one ended: otherwise all that is stored would be released,
-- and closed, once more. Where both were read, what one of them had not closed is computed.
CREATE FUNCTION move_homes(old_topic text, new_topic text)
RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    moved bigint;
BEGIN
    LOCK TABLE progress IN EXCLUSIVE MODE;
    CREATE TEMP TABLE behind ON COMMIT DROP AS
    SELECT s.series_id, coalesce(p.released_to, '-infinity') AS from_ts, p.furthest AS to_ts
    FROM (
        SELECT *, max(released_to) OVER (PARTITION BY partition) AS furthest
        FROM progress WHERE topic IN (old_topic, new_topic)
    ) AS p
    JOIN series AS s ON s.home_topic = p.topic AND s.home_partition = p.partition
    WHERE p.released_to IS DISTINCT FROM p.furthest;

    INSERT INTO dirty_buckets (series_id, bucket)
    SELECT DISTINCT b.series_id, date_bin('1 minute', r.ts, 'epoch')
    FROM behind AS b
    JOIN readings AS r ON r.series_id = b.series_id AND r.ts < b.to_ts
     AND r.ts >= date_bin(make_interval(secs => (SELECT min(width_s) FROM rollup_levels)), b.from_ts, 'epoch');
    INSERT INTO dirty_buckets (series_id, bucket, width_s)
    SELECT b.series_id, date_bin(make_interval(secs => l.width_s), b.from_ts, 'epoch'), l.width_s
    FROM behind AS b CROSS JOIN rollup_levels AS l
    WHERE isfinite(b.from_ts) AND l.width_s > (SELECT min(width_s) FROM rollup_levels);

    INSERT INTO progress AS p
        (topic, partition, epoch, next_offset, owner, session, log_clock, clock_era, watermark, released_to)
    SELECT new_topic, partition, 1, 0, owner, session, log_clock, clock_era, watermark, released_to
    FROM progress WHERE topic = old_topic
    ON CONFLICT (topic, partition) DO UPDATE
    SET epoch = p.epoch + 1,
        log_clock = coalesce(p.log_clock, excluded.log_clock),
        clock_era = CASE WHEN p.log_clock IS NULL THEN excluded.clock_era ELSE p.clock_era END,
        watermark = greatest(p.watermark, excluded.watermark),
        released_to = greatest(p.released_to, excluded.released_to);
    UPDATE progress SET epoch = epoch + 1 WHERE topic = old_topic;
    UPDATE series SET home_topic = new_topic WHERE home_topic = old_topic;
    GET DIAGNOSTICS moved = ROW_COUNT;
    DROP TABLE behind;
    RETURN moved;
END
$$;

COMMENT ON FUNCTION move_homes IS 'Give the series of one topic a home on another, which has as many partitions, and have it go on where that one is in event time; returns how many series';

-- Whoever computes rollups owns no partition, and its transactions may take long. It is taken for stopped where the
-- database waits for nothing but for it, and its statement is ten seconds old.
CREATE OR REPLACE FUNCTION end_abandoned_sessions(former text DEFAULT NULL) RETURNS bigint
LANGUAGE sql
AS $$
    SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 2000))
    FROM pg_stat_activity
    WHERE datname = current_database()
      AND usename = current_user
      AND pid <> pg_backend_pid()
      AND application_name LIKE 'streamgauge/%'
      AND CASE WHEN application_name LIKE 'streamgauge/rollups/%' THEN
          xact_start IS NOT NULL AND wait_event_type = 'Client'
          AND query_start < clock_timestamp() - INTERVAL '10 seconds'
      ELSE
          xact_start < clock_timestamp() - INTERVAL '3 seconds'
          AND (application_name IN (former, current_setting('application_name'))
               OR NOT EXISTS (SELECT FROM progress WHERE session = application_name))
      END
$$;

COMMENT ON FUNCTION end_abandoned_sessions IS 'End long transactions of worker sessions that own no partition, are the caller''s own earlier ones, or are named, and those of refreshers of rollups that are stopped; returns how many';

CREATE TABLE metrics (
    tenant         text NOT NULL DEFAULT 'default',
    metric         text NOT NULL,
    unit           text CONSTRAINT unit_is_ucum CHECK (unit ~ '^[!-~]+$'),
    kind           text NOT NULL DEFAULT 'gauge' CONSTRAINT kind_is_known CHECK (kind IN ('gauge', 'counter', 'state')),
    lowest         double precision,
    highest        double precision,
    expected_every interval CONSTRAINT expected_every_is_positive CHECK (expected_every > INTERVAL '0'),
    PRIMARY KEY (tenant, metric),
    CONSTRAINT range_has_values CHECK (lowest <= highest)
);

COMMENT ON TABLE metrics IS 'What is known of metrics beside their readings; the owner of the database fills it';
COMMENT ON COLUMN metrics.tenant IS 'Whose metric it is';
COMMENT ON COLUMN metrics.metric IS 'Its name, as in table series';
COMMENT ON COLUMN metrics.unit IS 'What the values count, in UCUM''s case-sensitive letters: Cel, kW.h, 1/min';
COMMENT ON COLUMN metrics.kind IS 'gauge: goes up and down; counter: rises, and falls to 0 at a restart; state: a number that stands for a word';
COMMENT ON COLUMN metrics.lowest IS 'No true value is lower; NULL where none is too low';
COMMENT ON COLUMN metrics.highest IS 'No true value is higher; NULL where none is too high';
COMMENT ON COLUMN metrics.expected_every IS 'How often a reading of each series is expected; NULL where nobody knows';
COMMENT ON CONSTRAINT unit_is_ucum ON metrics IS 'Units of UCUM are written without spaces, in ASCII';

CREATE FUNCTION gaps(since timestamptz, until timestamptz, intervals double precision DEFAULT 3)
RETURNS TABLE (
    series_id integer, tenant text, source text, metric text,
    silent_from timestamptz, silent_to timestamptz, lasts interval, expected_every interval
)
LANGUAGE sql STABLE
AS $$
    SELECT s.series_id, s.tenant, s.source, s.metric, g.ts, g.next_ts, g.next_ts - g.ts, m.expected_every
    FROM metrics AS m
    JOIN series AS s USING (tenant, metric)
    CROSS JOIN LATERAL (
        SELECT ts, lead(ts) OVER (ORDER BY ts) AS next_ts
        FROM (
            (SELECT ts FROM readings WHERE series_id = s.series_id AND ts < since ORDER BY ts DESC LIMIT 1)
            UNION ALL
            SELECT ts FROM readings WHERE series_id = s.series_id AND ts >= since AND ts < until
            UNION ALL
            SELECT until
        ) AS seen
    ) AS g
    WHERE g.next_ts - g.ts > intervals * m.expected_every
$$;

COMMENT ON FUNCTION gaps IS 'Where a series was silent for more than so many of its expected intervals, of what goes on between two times: from a reading, also one before, to the next, or to the second of both times';

CREATE VIEW v_gaps AS SELECT * FROM gaps(now() - INTERVAL '1 day', now());

COMMENT ON VIEW v_gaps IS 'Which series were silent for more than three of their expected intervals, in the last 24 hours; gaps(since, until, intervals) tells of other times';
COMMENT ON COLUMN v_gaps.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN v_gaps.tenant IS 'Whose series it is';
COMMENT ON COLUMN v_gaps.source IS 'What is measured: a machine, a sensor, a service';
COMMENT ON COLUMN v_gaps.metric IS 'Which of its quantities';
COMMENT ON COLUMN v_gaps.silent_from IS 'Event time of the last reading before';
COMMENT ON COLUMN v_gaps.silent_to IS 'Event time of the next reading; now where there is none yet';
COMMENT ON COLUMN v_gaps.lasts IS 'How long nothing was heard';
COMMENT ON COLUMN v_gaps.expected_every IS 'How often something is expected';

-- Of the widest level, whatever it is: all make up whole days.
CREATE FUNCTION coverage(since date, until date)
RETURNS TABLE (
    day date, series_id integer, tenant text, source text, metric text,
    readings bigint, expected double precision, covered double precision
)
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN QUERY EXECUTE format($sql$
        WITH asked AS (
            SELECT d.day, s.series_id, s.tenant, s.source, s.metric,
                   extract(epoch FROM least((d.day + 1)::timestamp AT TIME ZONE 'UTC', now()) - d.day::timestamp AT TIME ZONE 'UTC')
                   / extract(epoch FROM m.expected_every) AS expected
            FROM metrics AS m
            JOIN series AS s USING (tenant, metric)
            CROSS JOIN (SELECT $1 + nth FROM generate_series(0, $2 - $1 - 1) AS nth) AS d (day)
            WHERE m.expected_every IS NOT NULL AND d.day::timestamp AT TIME ZONE 'UTC' < now()
        ), heard AS (
            SELECT (r.bucket AT TIME ZONE 'UTC')::date AS day, r.tenant, r.source, r.metric,
                   sum(r.readings - r.bad)::bigint AS readings
            FROM rollup_%s AS r
            WHERE r.bucket >= $1::timestamp AT TIME ZONE 'UTC' AND r.bucket < $2::timestamp AT TIME ZONE 'UTC'
            GROUP BY 1, 2, 3, 4
        )
        SELECT a.day, a.series_id, a.tenant, a.source, a.metric, coalesce(h.readings, 0),
               a.expected::float8, least(1, coalesce(h.readings, 0) / a.expected)::float8
        FROM asked AS a LEFT JOIN heard AS h USING (day, tenant, source, metric)
    $sql$, (SELECT name FROM rollup_levels ORDER BY width_s DESC LIMIT 1)) USING since, until;
END
$$;

COMMENT ON FUNCTION coverage IS 'How many of the readings that are expected of each series on each day (UTC) have come and are not bad, the second day excluded; of today, those until now';

GRANT DELETE ON dirty_buckets TO streamgauge_writer;
GRANT SELECT ON rollup_marks, rollup_levels TO streamgauge_writer;
GRANT UPDATE (unmarked_before) ON rollup_levels TO streamgauge_writer;
GRANT EXECUTE ON FUNCTION mark_rollup_history TO streamgauge_writer;
GRANT EXECUTE ON FUNCTION open_since, is_open_since TO streamgauge_reader, streamgauge_writer;
GRANT SELECT ON metrics, rollup_levels, v_gaps TO streamgauge_reader;
GRANT EXECUTE ON FUNCTION gaps, coverage TO streamgauge_reader;
GRANT SELECT ON rollup_state TO streamgauge_reader, streamgauge_writer;
