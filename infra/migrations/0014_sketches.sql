-- Quantiles, of metrics that ask for them: sketches of buckets that can be merged, kept by whoever computes rollups.

-- DDSketch: a value counts for the key of a range whose ends are 1.01 : 0.99 apart, and a range stands for the value in it
-- that is no more than 1% from any other (C. Masson, J. E. Rim, H. K. Lee, VLDB 2019). Keys are in the order of values.
CREATE TYPE sketch AS (keys integer[], counts bigint[]);

COMMENT ON TYPE sketch IS 'How many values are in each range of values; percentile(sketch, q) reads it';
COMMENT ON COLUMN sketch.keys IS 'Ranges that have values, ascending: see sketch_key';
COMMENT ON COLUMN sketch.counts IS 'How many values are in each of them';

CREATE FUNCTION sketch_key(value double precision) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN abs(value) < 1e-140 THEN 0
    WHEN abs(value) <= 1e140 THEN (sign(value) * (20000 + ceil(ln(abs(value)) / 0.020000666706669435)))::integer
END;

COMMENT ON FUNCTION sketch_key(double precision) IS 'The range of values that a value is in; 0 for what is nearer to 0 than 1e-140, NULL for what is beyond 1e140 or no number: see usable';

CREATE FUNCTION sketch_value(key integer) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN sign(key) * CASE WHEN key = 0 THEN 0 ELSE 0.99 * exp((abs(key) - 20000) * 0.020000666706669435) END;

COMMENT ON FUNCTION sketch_value(integer) IS 'The value that stands for a range: none in it is more than 1% of itself away';

CREATE FUNCTION percentile(sketch sketch, q double precision) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF NOT coalesce(percentile.q BETWEEN 0 AND 1, false) THEN
        RAISE EXCEPTION '% is no share of values', coalesce(percentile.q::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a number from 0 to 1: 0.5 for the median.';
    END IF;
    RETURN (
        SELECT sketch_value(key)
        FROM (
            SELECT key, sum(count) OVER (ORDER BY key) AS upto, sum(count) OVER () AS total
            FROM unnest(percentile.sketch.keys, percentile.sketch.counts) AS u (key, count)
        ) AS counted
        WHERE upto > floor(percentile.q * (total - 1)::double precision)
        ORDER BY key LIMIT 1
    );
END
$$;

COMMENT ON FUNCTION percentile(sketch, double precision) IS 'Of n values that a sketch has, in order, the one at place floor(q * (n - 1)), the first being at 0: to within 1% of itself; NULL where there are none';

CREATE FUNCTION sketch_of(counted_keys integer[], their_counts bigint[]) RETURNS sketch
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT ROW(array_agg(key ORDER BY key), array_agg(count ORDER BY key))::sketch
    FROM (
        SELECT u.key, sum(u.count)::bigint AS count FROM unnest(counted_keys, their_counts) AS u (key, count)
        WHERE u.key IS NOT NULL AND u.count > 0
        GROUP BY u.key
    ) AS summed
    HAVING count(*) > 0;
END;

COMMENT ON FUNCTION sketch_of(integer[], bigint[]) IS 'The sketch that has these keys so often, each given in any order and any number of times; NULL keys count for nothing, NULL of none';

CREATE FUNCTION merged(sketches sketch[]) RETURNS sketch
LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT sketch_of(array_agg(u.key), array_agg(u.count))
    FROM unnest(sketches) AS s CROSS JOIN LATERAL unnest(s.keys, s.counts) AS u (key, count);
END;

COMMENT ON FUNCTION merged(sketch[]) IS 'One sketch of all that these have';

CREATE AGGREGATE merge_sketches(sketch) (SFUNC = array_append, STYPE = sketch[], FINALFUNC = merged, INITCOND = '{}', PARALLEL = SAFE);

COMMENT ON AGGREGATE merge_sketches(sketch) IS 'One sketch of all that these have';

ALTER TABLE metrics ADD COLUMN quantiles boolean NOT NULL DEFAULT false;

COMMENT ON COLUMN metrics.quantiles IS 'Whether sketches are kept, for quantiles; where this is set later, from all readings that are kept';

CREATE TABLE rollup_sketches (
    bucket    timestamptz NOT NULL,
    series_id integer NOT NULL,
    width_s   integer NOT NULL,
    keys      integer[] NOT NULL,
    counts    bigint[] NOT NULL
);
SELECT create_hypertable('rollup_sketches', by_range('bucket', INTERVAL '7 days'), create_default_indexes => false);
CREATE UNIQUE INDEX rollup_sketches_bucket ON rollup_sketches (series_id, width_s, bucket);

COMMENT ON TABLE rollup_sketches IS 'Sketches of buckets of series whose metric asks for quantiles: one row for each that has usable readings, before the mark of its level in sketch_marks';
COMMENT ON COLUMN rollup_sketches.bucket IS 'Begin of the bucket';
COMMENT ON COLUMN rollup_sketches.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN rollup_sketches.width_s IS 'Seconds of the bucket: its level';
COMMENT ON COLUMN rollup_sketches.keys IS 'Ranges that have values, ascending';
COMMENT ON COLUMN rollup_sketches.counts IS 'How many values are in each of them';
COMMENT ON INDEX rollup_sketches_bucket IS 'A series'' sketches of a level in order of time';

CREATE TABLE sketch_marks (
    series_id   integer NOT NULL,
    width_s     integer NOT NULL,
    sketched_to timestamptz NOT NULL,
    PRIMARY KEY (series_id, width_s)
);

COMMENT ON TABLE sketch_marks IS 'Up to where the sketches of each series and level are stored; what follows is computed when somebody asks';
COMMENT ON COLUMN sketch_marks.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN sketch_marks.width_s IS 'Seconds of a bucket of the level';
COMMENT ON COLUMN sketch_marks.sketched_to IS 'Each bucket that ends by then is stored, if it has readings';

-- Of the lowest level from readings, of others from the sketches of the level below; the same for whoever stores them
-- and whoever asks for what is not stored yet.
CREATE FUNCTION sketched(series integer, level_s integer, below_level_s integer, since timestamptz, until timestamptz)
RETURNS TABLE (bucket timestamptz, keys integer[], counts bigint[])
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10
BEGIN ATOMIC
    SELECT counted.bucket, array_agg(counted.key ORDER BY counted.key), array_agg(counted.count ORDER BY counted.key)
    FROM (
        SELECT date_bin(make_interval(secs => level_s), r.ts, 'epoch') AS bucket,
               sketch_key(usable(r.value, r.quality)) AS key, count(*) AS count
        FROM readings AS r
        WHERE below_level_s IS NULL AND r.series_id = series AND r.ts >= since AND r.ts < until
          AND usable(r.value, r.quality) IS NOT NULL
        GROUP BY 1, 2
        UNION ALL
        SELECT date_bin(make_interval(secs => level_s), k.bucket, 'epoch'), u.key, sum(u.count)::bigint
        FROM rollup_sketches AS k CROSS JOIN LATERAL unnest(k.keys, k.counts) AS u (key, count)
        WHERE k.series_id = series AND k.width_s = below_level_s AND k.bucket >= since AND k.bucket < until
        GROUP BY 1, 2
    ) AS counted
    GROUP BY counted.bucket;
END;

COMMENT ON FUNCTION sketched(integer, integer, integer, timestamptz, timestamptz) IS 'Sketches of the buckets of a series, made of its readings between two times, or of the sketches of the level below';

CREATE VIEW sketch_levels AS
SELECT width_s, name, lag(width_s) OVER (ORDER BY width_s) AS below_s FROM rollup_levels;

COMMENT ON VIEW sketch_levels IS 'Levels of rollups, each with the one that it is made from';
COMMENT ON COLUMN sketch_levels.width_s IS 'Seconds of a bucket';
COMMENT ON COLUMN sketch_levels.name IS 'Its name';
COMMENT ON COLUMN sketch_levels.below_s IS 'Seconds of a bucket of the level below; NULL for the lowest, which is made of readings';

-- What lies before a mark is stored. After it, it is made of what levels below have stored, each from where those above it
-- end, and then of readings: of those times alone that are asked for, as where there are no marks yet that is all there is.
CREATE FUNCTION series_quantiles(
    level text, metric text, since timestamptz, until timestamptz, sources text[] DEFAULT NULL, tenant text DEFAULT 'default'
)
RETURNS TABLE (source text, bucket timestamptz, sketch sketch, complete boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    wide_s CONSTANT integer := (SELECT l.width_s FROM rollup_levels AS l WHERE l.name = level);
    width  CONSTANT interval := make_interval(secs => wide_s);
BEGIN
    IF NOT EXISTS (SELECT FROM metrics AS m WHERE m.tenant = $6 AND m.metric = $2 AND m.quantiles) THEN
        RAISE EXCEPTION 'metric % of tenant % keeps no quantiles', quote_nullable(metric), quote_nullable(tenant)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'The owner of the database sets quantiles in table metrics.';
    ELSIF wide_s IS NULL THEN
        RAISE EXCEPTION 'there are no rollups of level %', quote_nullable(level)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Table rollup_levels lists the levels.';
    END IF;
    RETURN QUERY EXECUTE $sql$
        SELECT s.source, k.bucket, ROW(k.keys, k.counts)::sketch, true
        FROM series AS s
        JOIN sketch_marks AS m ON m.series_id = s.series_id AND m.width_s = $6
        JOIN rollup_sketches AS k ON k.series_id = s.series_id AND k.width_s = $6 AND k.bucket < m.sketched_to
        WHERE s.tenant = $1 AND s.metric = $2 AND ($5 IS NULL OR s.source = ANY ($5)) AND k.bucket >= $3 AND k.bucket < $4
        UNION ALL
        SELECT s.source, made.bucket, made.sketch, false
        FROM series AS s
        CROSS JOIN LATERAL (
            SELECT counted.bucket,
                   ROW(array_agg(counted.key ORDER BY counted.key), array_agg(counted.count ORDER BY counted.key))::sketch AS sketch
            FROM (
                SELECT parts.bucket, parts.key, sum(parts.count)::bigint AS count
                FROM (
                    SELECT date_bin($7, k.bucket, 'epoch') AS bucket, u.key, u.count
                    FROM (
                        SELECT below.width_s, m.sketched_to AS ends, max(m.sketched_to) OVER (
                            ORDER BY below.width_s DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                        ) AS begins
                        FROM rollup_levels AS below
                        LEFT JOIN sketch_marks AS m ON m.series_id = s.series_id AND m.width_s = below.width_s
                        WHERE below.width_s <= $6
                    ) AS part
                    JOIN rollup_sketches AS k
                      ON k.series_id = s.series_id AND k.width_s = part.width_s AND k.width_s < $6
                     AND k.bucket >= coalesce(part.begins, '-infinity') AND k.bucket < part.ends
                    CROSS JOIN LATERAL unnest(k.keys, k.counts) AS u (key, count)
                    WHERE k.bucket >= $8 AND k.bucket < $9
                    UNION ALL
                    SELECT date_bin($7, r.ts, 'epoch'), sketch_key(usable(r.value, r.quality)), 1
                    FROM readings AS r
                    WHERE r.series_id = s.series_id AND usable(r.value, r.quality) IS NOT NULL
                      AND r.ts >= $8 AND r.ts < $9 AND r.ts >= coalesce(
                          (SELECT max(sketched_to) FROM sketch_marks AS m WHERE m.series_id = s.series_id AND m.width_s <= $6),
                          '-infinity'
                      )
                ) AS parts
                GROUP BY parts.bucket, parts.key
            ) AS counted
            GROUP BY counted.bucket
        ) AS made
        WHERE s.tenant = $1 AND s.metric = $2 AND ($5 IS NULL OR s.source = ANY ($5))
    $sql$ USING tenant, metric, since, until, sources, wide_s, width,
                date_bin(width, since + width - INTERVAL '1 microsecond', 'epoch'),
                date_bin(width, until + width - INTERVAL '1 microsecond', 'epoch');
END
$$;

COMMENT ON FUNCTION series_quantiles(text, text, timestamptz, timestamptz, text[], text) IS 'Sketches of a metric that asks for quantiles, of all its sources or of these, in the buckets of a level that begin between two times, as fresh as the readings; complete is whether it is stored';

-- What is asked for and is released is stored, some hour of readings and some day of sketches at once; what nobody asks
-- for any more is removed, and its marks with it.
CREATE FUNCTION extend_sketches(most integer DEFAULT 200)
RETURNS integer
LANGUAGE plpgsql
SET search_path TO pg_catalog, public, pg_temp
AS $$
DECLARE
    level    record;
    due      record;
    in_all   integer := 0;
BEGIN
    WITH unwanted AS (
        DELETE FROM sketch_marks AS m
        WHERE NOT EXISTS (
            SELECT FROM series AS s JOIN metrics AS q USING (tenant, metric)
            WHERE s.series_id = m.series_id AND q.quantiles
        ) OR NOT EXISTS (SELECT FROM rollup_levels AS l WHERE l.width_s = m.width_s)
        RETURNING m.series_id, m.width_s
    )
    DELETE FROM rollup_sketches AS k USING unwanted AS u WHERE k.series_id = u.series_id AND k.width_s = u.width_s;

    FOR level IN SELECT *, make_interval(secs => width_s) AS width FROM sketch_levels ORDER BY width_s LOOP
        WITH asked AS (
            SELECT s.series_id, coalesce(m.sketched_to, '-infinity') AS sketched_to,
                   date_bin(level.width, CASE WHEN level.below_s IS NULL THEN r.released_to ELSE b.sketched_to END, 'epoch') AS target
            FROM metrics AS q
            JOIN series AS s USING (tenant, metric)
            JOIN rollup_marks AS r USING (series_id)
            LEFT JOIN sketch_marks AS m ON m.series_id = s.series_id AND m.width_s = level.width_s
            LEFT JOIN sketch_marks AS b ON b.series_id = s.series_id AND b.width_s = level.below_s
            WHERE q.quantiles
        ), found AS (
            SELECT a.series_id, a.target, date_bin(level.width, CASE WHEN level.below_s IS NULL THEN (
                SELECT min(r.ts) FROM readings AS r
                WHERE r.series_id = a.series_id AND r.ts < a.target
                  AND r.ts >= greatest(a.sketched_to, readings_kept_from(a.series_id))
            ) ELSE (
                SELECT min(k.bucket) FROM rollup_sketches AS k
                WHERE k.series_id = a.series_id AND k.width_s = level.below_s
                  AND k.bucket >= a.sketched_to AND k.bucket < a.target
            ) END, 'epoch') AS begins
            FROM (SELECT * FROM asked WHERE target > sketched_to ORDER BY sketched_to LIMIT most) AS a
        )
        SELECT coalesce(array_agg(series_id), '{}') AS series, array_agg(begins) AS begins,
               array_agg(coalesce(least(target, begins + level.width * ceil(
                   CASE WHEN level.below_s IS NULL THEN 3600 ELSE 86400 END / level.width_s::float8
               )), target)) AS ends
        INTO due FROM found;
        INSERT INTO rollup_sketches (bucket, series_id, width_s, keys, counts)
        SELECT made.bucket, d.series_id, level.width_s, made.keys, made.counts
        FROM unnest(due.series, due.begins, due.ends) AS d (series_id, begins, ends)
        CROSS JOIN LATERAL sketched(d.series_id, level.width_s, level.below_s, d.begins, d.ends) AS made;
        INSERT INTO sketch_marks (series_id, width_s, sketched_to)
        SELECT d.series_id, level.width_s, d.ends FROM unnest(due.series, due.ends) AS d (series_id, ends)
        ON CONFLICT ON CONSTRAINT sketch_marks_pkey DO UPDATE SET sketched_to = excluded.sketched_to;
        in_all := in_all + cardinality(due.series);
    END LOOP;
    RETURN in_all;
END
$$;

COMMENT ON FUNCTION extend_sketches(integer) IS 'Store sketches of what was released since, of so many series of each level at most; for whoever computes rollups. Returns how many marks were moved';

-- Where the level below is behind, as a new one is at first, from readings.
CREATE FUNCTION refresh_sketches()
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, public, pg_temp
AS $$
DECLARE
    level record;
    again record;
BEGIN
    IF NOT EXISTS (SELECT FROM sketch_marks) THEN
        RETURN;
    END IF;
    FOR level IN SELECT *, make_interval(secs => width_s) AS width FROM sketch_levels ORDER BY width_s LOOP
        SELECT array_agg(series_id) AS series, array_agg(bucket) AS buckets, array_agg(below_s) AS belows INTO again
        FROM (
            SELECT DISTINCT d.series_id, g.bucket,
                   CASE WHEN b.sketched_to >= g.bucket + level.width THEN level.below_s END AS below_s
            FROM dirty_now AS d
            JOIN sketch_marks AS m ON m.series_id = d.series_id AND m.width_s = level.width_s
            LEFT JOIN sketch_marks AS b ON b.series_id = d.series_id AND b.width_s = level.below_s
            CROSS JOIN LATERAL generate_series(
                date_bin(level.width, d.begins, 'epoch'), d.ends - INTERVAL '1 microsecond', level.width
            ) AS g (bucket)
            WHERE g.bucket < m.sketched_to
        ) AS stored;
        DELETE FROM rollup_sketches AS k USING unnest(again.series, again.buckets) AS a (series_id, bucket)
        WHERE k.series_id = a.series_id AND k.width_s = level.width_s AND k.bucket = a.bucket;
        INSERT INTO rollup_sketches (bucket, series_id, width_s, keys, counts)
        SELECT made.bucket, a.series_id, level.width_s, made.keys, made.counts
        FROM unnest(again.series, again.buckets, again.belows) AS a (series_id, bucket, below_s)
        CROSS JOIN LATERAL sketched(a.series_id, level.width_s, a.below_s, a.bucket, a.bucket + level.width) AS made;
    END LOOP;
END
$$;

COMMENT ON FUNCTION refresh_sketches() IS 'Make the stored sketches of the spans in dirty_now anew, of all levels; for whoever computes rollups';

DO $$
BEGIN
    EXECUTE 'CREATE OR REPLACE VIEW retention_holds AS ' || rtrim(pg_get_viewdef('retention_holds'::regclass), ';') || $view$
        UNION ALL
        SELECT date_bin('1 day', behind.sketched_to, 'epoch'),
               format('quantiles are made of readings up to %s yet', behind.sketched_to)
        FROM (
            SELECT min(coalesce(m.sketched_to, '-infinity')) AS sketched_to
            FROM metrics AS q
            JOIN series AS s USING (tenant, metric)
            JOIN rollup_marks AS r USING (series_id)
            LEFT JOIN sketch_marks AS m
              ON m.series_id = s.series_id AND m.width_s = (SELECT l.width_s FROM sketch_levels AS l WHERE l.below_s IS NULL)
            WHERE q.quantiles AND isfinite(r.released_to)
        ) AS behind
        WHERE behind.sketched_to IS NOT NULL
    $view$;
END
$$;

CREATE FUNCTION group_quantiles(
    level text, metric text, since timestamptz, until timestamptz,
    node text[] DEFAULT '{}', by text DEFAULT NULL, placed timestamptz DEFAULT NULL, tenant text DEFAULT 'default'
)
RETURNS TABLE (
    bucket timestamptz, site text, zone text, system text, component text,
    series bigint, members bigint, sketch sketch, complete boolean
)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    width CONSTANT interval := (SELECT make_interval(secs => l.width_s) FROM rollup_levels AS l WHERE l.name = level);
    found record;
BEGIN
    SELECT coalesce(array_agg(m.source), '{}') AS sources, array_agg(m.site) AS sites, array_agg(m.zone) AS zones,
           array_agg(m.system) AS systems, array_agg(m.component) AS components,
           array_agg(m.member_from) AS begins, array_agg(m.member_to) AS ends, array_agg(m.closed_to) AS marks,
           array_agg(m.nth) AS nths
    INTO found FROM (
        SELECT *, dense_rank() OVER (ORDER BY m.site, m.zone, m.system, m.component) AS nth
        FROM members(metric, since, until, node, by, placed, tenant) AS m
    ) AS m;
    RETURN QUERY EXECUTE $sql$
        WITH alike AS MATERIALIZED (
            SELECT m.nth, greatest(m.begins, $3) AS begins, least(m.ends, $4) AS ends, m.mark, count(*) AS members
            FROM unnest($12, $10, $11, $13) AS m (nth, begins, ends, mark)
            GROUP BY 1, 2, 3, 4
        ), grouped AS (
            SELECT q.bucket, p.nth, p.site, p.zone, p.system, p.component, count(*) AS series,
                   merge_sketches(q.sketch) AS sketch, bool_and(q.complete) AS complete
            FROM series_quantiles($15, $2, $3, $4, $5, $1) AS q
            JOIN unnest($5, $6, $7, $8, $9, $10, $11, $12) AS p (source, site, zone, system, component, begins, ends, nth)
              ON p.source = q.source AND p.begins <= q.bucket AND p.ends > q.bucket
            GROUP BY 1, 2, 3, 4, 5, 6
        )
        SELECT g.bucket, g.site, g.zone, g.system, g.component, g.series, a.members, g.sketch,
               g.complete AND g.bucket + $14 <= a.mark
        FROM grouped AS g
        CROSS JOIN LATERAL (
            SELECT sum(a.members)::bigint AS members, min(a.mark) AS mark
            FROM alike AS a WHERE a.nth = g.nth AND a.begins <= g.bucket AND a.ends > g.bucket
        ) AS a
        ORDER BY 1, 2, 3, 4, 5
    $sql$
    USING tenant, metric, since, until,
          found.sources, found.sites, found.zones, found.systems, found.components, found.begins, found.ends,
          found.nths, found.marks, width, level;
END
$$;

COMMENT ON FUNCTION group_quantiles(text, text, timestamptz, timestamptz, text[], text, timestamptz, text) IS 'Merged sketches of all series of a metric that stand in a node, for the buckets and nodes of group_rollup';

SELECT show_to_tenants(shown::regclass) FROM unnest(ARRAY['metrics', 'rollup_sketches', 'sketch_marks']) AS shown;

GRANT SELECT, INSERT, UPDATE, DELETE ON rollup_sketches, sketch_marks TO streamgauge_writer;
GRANT SELECT ON sketch_levels, metrics, raw_retention TO streamgauge_writer;
GRANT EXECUTE ON FUNCTION
    readings_kept_from(integer),
    usable(double precision, smallint),
    sketch_key(double precision),
    sketched(integer, integer, integer, timestamptz, timestamptz),
    extend_sketches(integer),
    refresh_sketches()
TO streamgauge_writer;
GRANT SELECT ON rollup_sketches, sketch_marks TO streamgauge_reader;
GRANT EXECUTE ON FUNCTION
    sketch_key(double precision),
    sketch_value(integer),
    percentile(sketch, double precision),
    sketch_of(integer[], bigint[]),
    merged(sketch[]),
    merge_sketches(sketch),
    series_quantiles(text, text, timestamptz, timestamptz, text[], text),
    group_quantiles(text, text, timestamptz, timestamptz, text[], text, timestamptz, text)
TO streamgauge_reader;
SELECT show_to_tenants(shown::regprocedure)
FROM unnest(ARRAY[
    'sketch_key(double precision)',
    'sketch_value(integer)',
    'sketch_of(integer[], bigint[])',
    'percentile(sketch, double precision)',
    'merged(sketch[])',
    'series_quantiles(text, text, timestamptz, timestamptz, text[], text)',
    'group_quantiles(text, text, timestamptz, timestamptz, text[], text, timestamptz, text)'
]) AS shown;
CREATE AGGREGATE tenant.merge_sketches(sketch) (
    SFUNC = array_append, STYPE = sketch[], FINALFUNC = tenant.merged, INITCOND = '{}', PARALLEL = SAFE
);
COMMENT ON AGGREGATE tenant.merge_sketches(sketch) IS 'One sketch of all that these have';
GRANT EXECUTE ON FUNCTION
    tenant.merge_sketches(sketch),
    public.usable(double precision, smallint),
    public.sketch_key(double precision)
TO streamgauge_tenant;
