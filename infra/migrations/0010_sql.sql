-- What analysts ask in SQL: the same in both editions of TimescaleDB.

-- Bodies that begin with ATOMIC are bound to what they name when they are created, whatever the caller's
-- search path, and unlike those with a search path of their own they can be inlined: chunks are excluded.

CREATE FUNCTION usable(value double precision, quality smallint) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN quality = 2 OR abs(value) > 1e140 THEN NULL
    WHEN abs(value) < 1e-140 THEN 0
    ELSE value
END;

COMMENT ON FUNCTION usable(double precision, smallint) IS 'What a reading says: its value; NULL where the quality is bad, there is none or it is beyond 1e140; 0 where it is nearer to 0 than 1e-140';

CREATE FUNCTION series(source text, metric text, tenant text DEFAULT 'default') RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
DECLARE
    number integer;
BEGIN
    SELECT s.series_id INTO number FROM public.series AS s
    WHERE s.source = $1 AND s.metric = $2 AND s.tenant = $3;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no series of metric % of source % of tenant %',
            quote_nullable(metric), quote_nullable(source), quote_nullable(tenant)
            USING ERRCODE = 'no_data_found', HINT = 'View series_catalogue lists them.';
    END IF;
    RETURN number;
END
$$;

COMMENT ON FUNCTION series(text, text, text) IS 'The number of a series by its names; an error where there is none';

CREATE FUNCTION buckets(since timestamptz, until timestamptz, width interval, timezone text DEFAULT 'UTC')
RETURNS timestamptz[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    most CONSTANT integer := 100000;
    begins timestamptz[];
BEGIN
    IF since IS NULL OR until IS NULL OR timezone IS NULL OR NOT isfinite(since) OR NOT isfinite(until) THEN
        RAISE EXCEPTION 'since, until and timezone must be given, and the times be finite'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'For what is newest: until => now().';
    ELSIF since > until THEN
        RAISE EXCEPTION 'since (%) is after until (%)', since, until
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Exchange them: since is included, until is not.';
    ELSIF since = until THEN
        RETURN '{}';
    ELSIF width IS NULL THEN
        RETURN ARRAY[since];
    ELSIF width <= INTERVAL '0' THEN
        RAISE EXCEPTION 'a bucket cannot be % wide', width
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a width such as INTERVAL ''1 hour''.';
    ELSIF extract(epoch FROM until - since) / extract(epoch FROM width) > most THEN
        RAISE EXCEPTION 'from % to % there are more than % buckets of %', since, until, most, width
            USING ERRCODE = 'program_limit_exceeded', HINT = 'Ask for a shorter time or wider buckets.';
    END IF;
    -- A clock that is put back shows an hour twice: what is counted in hours and less is counted in UTC.
    IF extract(day FROM width) = 0 AND extract(epoch FROM date_trunc('month', width)) = 0 THEN
        timezone := 'UTC';
    END IF;
    -- Steps are of the calendar: a day that begins at one, since it has no midnight, does not move those after it.
    begins := ARRAY(
        SELECT DISTINCT begin AT TIME ZONE timezone AS begin
        FROM generate_series(
            time_bucket(width, since AT TIME ZONE timezone), until AT TIME ZONE timezone, width
        ) AS begin
        WHERE begin AT TIME ZONE timezone < until
        ORDER BY 1
    );
    -- Where a day begins twice, the calendar tells the later time.
    begins[1] := least(begins[1], since);
    RETURN begins;
END
$$;

COMMENT ON FUNCTION buckets(timestamptz, timestamptz, interval, text) IS 'Begins of the buckets of that width that are between two times, or partly; days and longer by the calendar of the time zone; the whole as one where width is NULL; an error where there are more than 100,000';

CREATE FUNCTION reaching(reach interval) RETURNS interval
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path TO pg_catalog, pg_temp
AS $$
BEGIN
    IF reach IS NULL OR reach < INTERVAL '0' THEN
        RAISE EXCEPTION 'a value cannot count for %', coalesce(reach::text, 'NULL')
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give a reach such as INTERVAL ''24 hours'', or 0.';
    END IF;
    RETURN reach;
END
$$;

COMMENT ON FUNCTION reaching(interval) IS 'How long a value counts for what follows it; an error where that is NULL or less than nothing';

-- The one before counts for what follows it, but for a while at most. That is told in hours: how long a day is
-- depends on the session's time zone.
CREATE FUNCTION history(series integer, since timestamptz, until timestamptz, reach interval DEFAULT '24 hours')
RETURNS TABLE (ts timestamptz, value double precision)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000
BEGIN ATOMIC
    (
        SELECT r.ts, usable(r.value, r.quality)
        FROM readings AS r
        WHERE r.series_id = series AND r.ts >= since - reaching(reach) AND r.ts < since
          AND usable(r.value, r.quality) IS NOT NULL
        ORDER BY r.ts DESC
        LIMIT 1
    )
    UNION ALL
    SELECT r.ts, usable(r.value, r.quality)
    FROM readings AS r
    WHERE r.series_id = series AND r.ts >= since AND r.ts < until
      AND usable(r.value, r.quality) IS NOT NULL;
END;

COMMENT ON FUNCTION history(integer, timestamptz, timestamptz, interval) IS 'What the readings of a series say from since until before until, and the last one before since unless it is more than reach earlier; in no order';

CREATE FUNCTION gapfill(
    series integer, since timestamptz, until timestamptz, width interval, timezone text DEFAULT 'UTC'
)
RETURNS TABLE (bucket timestamptz, value double precision, readings bigint)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
BEGIN ATOMIC
    WITH grid AS MATERIALIZED (SELECT buckets(since, until, width, timezone) AS begins), filled AS (
        SELECT width_bucket(r.ts, (SELECT begins FROM grid)) AS nth,
               avg(usable(r.value, r.quality)) AS value,
               count(*) AS readings
        FROM readings AS r
        WHERE r.series_id = series AND r.ts >= since AND r.ts < until
        GROUP BY 1
    )
    SELECT b.bucket, f.value, coalesce(f.readings, 0)
    FROM unnest((SELECT begins FROM grid)) WITH ORDINALITY AS b (bucket, nth)
    LEFT JOIN filled AS f USING (nth)
    ORDER BY b.bucket;
END;

COMMENT ON FUNCTION gapfill(integer, timestamptz, timestamptz, interval, text) IS 'Mean of a series in each bucket between two times, NULL where there is none, and how many readings it has, bad ones among them';

CREATE FUNCTION locf(
    series integer, since timestamptz, until timestamptz, width interval, timezone text DEFAULT 'UTC',
    reach interval DEFAULT '24 hours'
)
RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
BEGIN ATOMIC
    WITH grid AS MATERIALIZED (SELECT buckets(since, until, width, timezone) AS begins), filled AS (
        SELECT width_bucket(h.ts, (SELECT begins FROM grid)) AS nth, h.ts < since AS earlier,
               avg(h.value) AS value, max(h.ts) AS last_at
        FROM history(series, since, until, reach) AS h
        GROUP BY 1, 2
    ), steps AS (
        SELECT nth, NULL::timestamptz AS bucket, value, last_at FROM filled WHERE earlier
        UNION ALL
        SELECT b.nth, b.bucket, f.value, f.last_at
        FROM unnest((SELECT begins FROM grid)) WITH ORDINALITY AS b (bucket, nth)
        LEFT JOIN filled AS f ON f.nth = b.nth AND NOT f.earlier
    ), runs AS (
        SELECT steps.*, count(value) OVER (ORDER BY nth, bucket NULLS FIRST) AS run FROM steps
    ), carried AS (
        SELECT bucket, value, first_value(value) OVER held AS before, first_value(last_at) OVER held AS before_at
        FROM runs
        WINDOW held AS (PARTITION BY run ORDER BY nth, bucket NULLS FIRST)
    )
    SELECT bucket, CASE WHEN value IS NOT NULL OR before_at >= greatest(bucket, since) - reach THEN before END
    FROM carried
    WHERE bucket IS NOT NULL
    ORDER BY bucket;
END;

COMMENT ON FUNCTION locf(integer, timestamptz, timestamptz, interval, text, interval) IS 'Mean of a series in each bucket between two times; where there is none, that of the bucket before, or the last value before since, unless its last reading is more than reach before the bucket';

CREATE FUNCTION interpolate(
    series integer, since timestamptz, until timestamptz, width interval, timezone text DEFAULT 'UTC',
    reach interval DEFAULT '24 hours'
)
RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
BEGIN ATOMIC
    WITH grid AS MATERIALIZED (SELECT buckets(since, until, width, timezone) AS begins), filled AS (
        SELECT width_bucket(h.ts, (SELECT begins FROM grid)) AS nth, h.ts < since AS earlier,
               avg(h.value) AS value, min(h.ts) AS first_at
        FROM history(series, since, until, reach) AS h
        GROUP BY 1, 2
    ), following AS (
        SELECT r.ts, usable(r.value, r.quality) AS value
        FROM readings AS r
        WHERE r.series_id = series
          AND r.ts >= until AND r.ts < until + reach
          AND usable(r.value, r.quality) IS NOT NULL
        ORDER BY r.ts
        LIMIT 1
    ), points AS (
        SELECT NULL::timestamptz AS bucket, first_at AS at, value FROM filled WHERE earlier
        UNION ALL
        SELECT b.bucket, greatest(b.bucket, since), f.value
        FROM unnest((SELECT begins FROM grid)) WITH ORDINALITY AS b (bucket, nth)
        LEFT JOIN filled AS f ON f.nth = b.nth AND NOT f.earlier
        UNION ALL
        SELECT NULL, ts, value FROM following
    ), runs AS (
        SELECT points.*, count(value) OVER (ORDER BY at) AS run_up,
               count(value) OVER (ORDER BY at DESC) AS run_down
        FROM points
    ), neighbours AS (
        SELECT bucket, at, value,
               first_value(value) OVER up AS before, first_value(at) OVER up AS before_at,
               first_value(value) OVER down AS after, first_value(at) OVER down AS after_at
        FROM runs
        WINDOW up AS (PARTITION BY run_up ORDER BY at),
               down AS (PARTITION BY run_down ORDER BY at DESC)
    )
    SELECT bucket, coalesce(value, CASE WHEN before + after IS NOT NULL AND after_at <= before_at + reach THEN
        before + (after - before) * (date_part('epoch', at - before_at) / date_part('epoch', after_at - before_at))
    END)
    FROM neighbours
    WHERE bucket IS NOT NULL
    ORDER BY bucket;
END;

COMMENT ON FUNCTION interpolate(integer, timestamptz, timestamptz, interval, text, interval) IS 'Mean of a series in each bucket between two times; where there is none, on the straight line between the buckets around it, or the readings around the whole, unless these are more than reach apart';

CREATE FUNCTION changes(
    series integer, since timestamptz, until timestamptz, width interval DEFAULT NULL, timezone text DEFAULT 'UTC',
    reach interval DEFAULT '24 hours'
)
RETURNS TABLE (bucket timestamptz, change double precision, increase double precision, seconds double precision)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
BEGIN ATOMIC
    WITH grid AS MATERIALIZED (SELECT buckets(since, until, width, timezone) AS begins), steps AS (
        SELECT h.ts, h.value, lag(h.value) OVER in_time AS before, lag(h.ts) OVER in_time AS before_at
        FROM history(series, since, until, reach) AS h
        WINDOW in_time AS (ORDER BY h.ts)
    ), changed AS (
        SELECT width_bucket(ts, (SELECT begins FROM grid)) AS nth,
               sum(value - before) AS change,
               sum(CASE WHEN value < before THEN value ELSE value - before END) AS increase,
               date_part('epoch', sum(ts - before_at)) AS seconds
        FROM steps
        WHERE ts >= since AND before IS NOT NULL
        GROUP BY 1
    )
    SELECT b.bucket, c.change, c.increase, c.seconds
    FROM unnest((SELECT begins FROM grid)) WITH ORDINALITY AS b (bucket, nth)
    LEFT JOIN changed AS c USING (nth)
    ORDER BY b.bucket;
END;

COMMENT ON FUNCTION changes(integer, timestamptz, timestamptz, interval, text, interval) IS 'What a series changed by in each bucket between two times, or in the whole of it, from the last value before, however long ago in the time asked for, at most reach before since, to its last; what it rose by as a counter, for which a fall is a restart from 0; and the seconds between these two values. NULL where nothing tells';

CREATE FUNCTION delta(
    series integer, since timestamptz, until timestamptz, width interval DEFAULT NULL, timezone text DEFAULT 'UTC',
    reach interval DEFAULT '24 hours'
)
RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
BEGIN ATOMIC
    SELECT c.bucket, c.change FROM changes(series, since, until, width, timezone, reach) AS c;
END;

COMMENT ON FUNCTION delta(integer, timestamptz, timestamptz, interval, text, interval) IS 'What a series changed by in each bucket between two times, or in the whole of it: from the last value before, however long ago in the time asked for, at most reach before since, to its last; NULL where nothing tells';

CREATE FUNCTION rate(
    series integer, since timestamptz, until timestamptz, width interval DEFAULT NULL, timezone text DEFAULT 'UTC',
    reach interval DEFAULT '24 hours'
)
RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
BEGIN ATOMIC
    SELECT c.bucket, c.increase / nullif(c.seconds, 0) FROM changes(series, since, until, width, timezone, reach) AS c;
END;

COMMENT ON FUNCTION rate(integer, timestamptz, timestamptz, interval, text, interval) IS 'What a counter rose by a second, in each bucket between two times, or in the whole of it: a fall is a restart from 0; over the time from the last value before, however long ago in the time asked for, at most reach before since, to its last; NULL where nothing tells';

CREATE FUNCTION time_weighted_avg(
    series integer, since timestamptz, until timestamptz, width interval DEFAULT NULL, timezone text DEFAULT 'UTC',
    reach interval DEFAULT '24 hours'
)
RETURNS TABLE (bucket timestamptz, value double precision)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 100
BEGIN ATOMIC
    WITH grid AS MATERIALIZED (SELECT buckets(since, until, width, timezone) AS begins), held AS (
        SELECT h.value, greatest(h.ts, since) AS first, least(lead(h.ts, 1, until) OVER in_time, h.ts + reach) AS last
        FROM history(series, since, until, reach) AS h
        WINDOW in_time AS (ORDER BY h.ts)
    ), pieces AS (
        SELECT nth, value, date_part('epoch', least(last, (SELECT begins FROM grid)[nth + 1])
                                              - greatest(first, (SELECT begins FROM grid)[nth])) AS seconds
        FROM held
        CROSS JOIN LATERAL generate_series(
            width_bucket(first, (SELECT begins FROM grid)), width_bucket(last, (SELECT begins FROM grid))
        ) AS nth
        WHERE first < last
    ), means AS (
        SELECT nth, sum(value * seconds) / nullif(sum(seconds), 0) AS value FROM pieces GROUP BY nth
    )
    SELECT b.bucket, m.value
    FROM unnest((SELECT begins FROM grid)) WITH ORDINALITY AS b (bucket, nth)
    LEFT JOIN means AS m USING (nth)
    ORDER BY b.bucket;
END;

COMMENT ON FUNCTION time_weighted_avg(integer, timestamptz, timestamptz, interval, text, interval) IS 'Mean of a series over time in each bucket between two times, or over the whole of it: each value counts until the next one, for reach at most; NULL where none holds';

-- Of each bucket of readings the one that spans the largest triangle with the one chosen before and with
-- the mean of the bucket after: S. Steinarsson, Downsampling Time Series for Visual Representation, 2013.
CREATE FUNCTION lttb(series integer, since timestamptz, until timestamptz, points integer)
RETURNS TABLE (ts timestamptz, value double precision)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 500
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    most CONSTANT bigint := 1000000;
    total bigint;
    part record;
    at double precision;
    height double precision;
BEGIN
    PERFORM buckets(since, until, NULL);
    IF points IS NULL OR points < 3 OR points > 100000 THEN
        RAISE EXCEPTION 'a plot has 3 to 100,000 points, not %', points
            USING ERRCODE = 'invalid_parameter_value', HINT = 'A point for each pixel of its width is enough.';
    END IF;
    SELECT count(*) INTO total FROM (
        SELECT FROM readings AS r
        WHERE r.series_id = lttb.series AND r.ts >= lttb.since AND r.ts < lttb.until
          AND usable(r.value, r.quality) IS NOT NULL
        LIMIT most + 1
    ) AS counted;
    IF total > most THEN
        RAISE EXCEPTION 'from % to % there are more than % readings', since, until, most
            USING ERRCODE = 'program_limit_exceeded', HINT = 'Ask for a shorter time, or plot what gapfill returns.';
    END IF;

    FOR part IN
        WITH numbered AS (
            SELECT r.ts, usable(r.value, r.quality) AS value,
                   date_part('epoch', r.ts - lttb.since) AS x,
                   row_number() OVER (ORDER BY r.ts) AS nth
            FROM readings AS r
            WHERE r.series_id = lttb.series AND r.ts >= lttb.since AND r.ts < lttb.until
              AND usable(r.value, r.quality) IS NOT NULL
        )
        SELECT array_agg(ts ORDER BY nth) AS times,
               array_agg(x ORDER BY nth) AS xs,
               array_agg(value ORDER BY nth) AS ys,
               lead(avg(x)) OVER in_time AS next_x,
               lead(avg(value)) OVER in_time AS next_y
        FROM numbered
        GROUP BY CASE
            WHEN total <= points THEN nth
            WHEN nth = 1 THEN -1
            WHEN nth = total THEN points
            ELSE ((nth - 1) * (points - 2) - 1) / (total - 2)
        END
        WINDOW in_time AS (ORDER BY min(nth))
        ORDER BY min(nth)
    LOOP
        SELECT p.ts, p.x, p.y INTO ts, at, height
        FROM unnest(part.times, part.xs, part.ys) WITH ORDINALITY AS p (ts, x, y, nth)
        ORDER BY abs((at - part.next_x) * (p.y - height) - (at - p.x) * (part.next_y - height)) DESC NULLS LAST, p.nth
        LIMIT 1;
        value := height;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION lttb(integer, timestamptz, timestamptz, integer) IS 'So many of the values of a series between two times, all where it has no more, that a plot of them looks like a plot of all (Largest-Triangle-Three-Buckets); an error for more than 1,000,000';

CREATE FUNCTION asof_join(
    series integer, other integer, since timestamptz, until timestamptz, reach interval DEFAULT '24 hours'
)
RETURNS TABLE (ts timestamptz, value double precision, other_ts timestamptz, other_value double precision)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10000
BEGIN ATOMIC
    WITH events AS (
        SELECT h.ts, h.value AS other_value, NULL::double precision AS value, false AS wanted
        FROM history(other, since, until, reach) AS h
        UNION ALL
        SELECT h.ts, NULL, h.value, true
        FROM history(series, since, until, '0') AS h
    ), runs AS (
        SELECT events.*, count(other_value) OVER (ORDER BY ts, wanted) AS run FROM events
    ), joined AS (
        SELECT ts, value, wanted, run > 0 AND first_value(ts) OVER held >= ts - reach AS found,
               first_value(ts) OVER held AS other_ts, first_value(other_value) OVER held AS other_value
        FROM runs
        WINDOW held AS (PARTITION BY run ORDER BY ts, wanted)
    )
    SELECT ts, value, CASE WHEN found THEN other_ts END, CASE WHEN found THEN other_value END
    FROM joined
    WHERE wanted
    ORDER BY ts;
END;

COMMENT ON FUNCTION asof_join(integer, integer, timestamptz, timestamptz, interval) IS 'Each value of a series between two times, with the last of the other series that is not later, unless that is more than reach earlier';

-- A hint, and a constant of plans: where it is out of date, the whole is looked through, and the answer is the same.
CREATE FUNCTION recently() RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT max(released_to) - INTERVAL '6 hours' FROM progress;
END;

COMMENT ON FUNCTION recently() IS 'Since when most series have a reading, when the statement was planned: 6 hours before the furthest mark';

-- The chunks of the last hours by themselves: to set a scan of all chunks up anew for each series takes longer than it does.
CREATE VIEW latest AS
SELECT s.series_id,
       s.tenant,
       s.source,
       s.metric,
       r.ts,
       CASE WHEN abs(r.value) < 'infinity' THEN r.value END AS value,
       r.quality,
       s.unit,
       s.site,
       s.system
FROM series AS s
CROSS JOIN LATERAL (
    (
        SELECT ts, value, quality FROM readings
        WHERE series_id = s.series_id AND ts >= recently() ORDER BY ts DESC LIMIT 1
    )
    UNION ALL
    (SELECT ts, value, quality FROM readings WHERE series_id = s.series_id ORDER BY ts DESC LIMIT 1)
    LIMIT 1
) AS r;

COMMENT ON VIEW latest IS 'The latest reading of each series that has one';
COMMENT ON COLUMN latest.series_id IS 'Number of the series, for the functions that take one';
COMMENT ON COLUMN latest.tenant IS 'Whose series it is';
COMMENT ON COLUMN latest.source IS 'What is measured: a machine, a sensor, a service';
COMMENT ON COLUMN latest.metric IS 'Which of its quantities';
COMMENT ON COLUMN latest.ts IS 'Event time: when it was measured, by the producer''s clock';
COMMENT ON COLUMN latest.value IS 'The measurement; NULL where there is none';
COMMENT ON COLUMN latest.quality IS '0 good, 1 uncertain, 2 bad';
COMMENT ON COLUMN latest.unit IS 'What the values count';
COMMENT ON COLUMN latest.site IS 'Where the source stands';
COMMENT ON COLUMN latest.system IS 'The larger thing that the source is a part of';

-- A look-back that is as far as the silence is long: behind a tenant's barrier all that it reads is sorted.
CREATE OR REPLACE FUNCTION gaps(since timestamptz, until timestamptz, intervals double precision DEFAULT 3)
RETURNS TABLE (
    series_id integer, tenant text, source text, metric text,
    silent_from timestamptz, silent_to timestamptz, lasts interval, expected_every interval
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT s.series_id, s.tenant, s.source, s.metric, g.ts, g.next_ts, g.next_ts - g.ts, m.expected_every
    FROM metrics AS m
    JOIN series AS s USING (tenant, metric)
    CROSS JOIN LATERAL (
        SELECT seen.ts, lead(seen.ts) OVER (ORDER BY seen.ts) AS next_ts
        FROM (
            SELECT coalesce(
                (SELECT l.ts FROM latest AS l WHERE l.series_id = s.series_id AND l.ts < since),
                (
                    SELECT before.ts
                    FROM unnest(ARRAY[
                        since - intervals * m.expected_every, since - INTERVAL '24 hours',
                        since - INTERVAL '720 hours', '-infinity'
                    ]) AS back (as_far)
                    CROSS JOIN LATERAL (
                        SELECT max(r.ts) AS ts FROM readings AS r
                        WHERE r.series_id = s.series_id AND r.ts >= back.as_far AND r.ts < since
                    ) AS before
                    WHERE before.ts IS NOT NULL
                    LIMIT 1
                )
            ) AS ts
            UNION ALL
            SELECT r.ts FROM readings AS r WHERE r.series_id = s.series_id AND r.ts >= since AND r.ts < until
            UNION ALL
            SELECT until
        ) AS seen
        WHERE seen.ts IS NOT NULL
    ) AS g
    WHERE m.expected_every IS NOT NULL AND g.next_ts - g.ts > intervals * m.expected_every;
END;

ALTER FUNCTION coverage(date, date) SET search_path TO pg_catalog, public, pg_temp;

-- Times are looked up by subqueries of their own: whoever does not ask for them does not pay for them.
CREATE VIEW series_catalogue AS
SELECT s.series_id,
       s.tenant,
       s.source,
       s.metric,
       s.unit,
       s.site,
       s.system,
       s.attributes,
       (SELECT ts FROM readings WHERE series_id = s.series_id ORDER BY ts LIMIT 1) AS first_ts,
       (SELECT ts FROM readings WHERE series_id = s.series_id ORDER BY ts DESC LIMIT 1) AS last_ts
FROM series AS s;

COMMENT ON VIEW series_catalogue IS 'What is measured, and since when until when';
COMMENT ON COLUMN series_catalogue.series_id IS 'Number of the series, for the functions that take one';
COMMENT ON COLUMN series_catalogue.tenant IS 'Whose series it is';
COMMENT ON COLUMN series_catalogue.source IS 'What is measured: a machine, a sensor, a service';
COMMENT ON COLUMN series_catalogue.metric IS 'Which of its quantities';
COMMENT ON COLUMN series_catalogue.unit IS 'What the values count';
COMMENT ON COLUMN series_catalogue.site IS 'Where the source stands';
COMMENT ON COLUMN series_catalogue.system IS 'The larger thing that the source is a part of';
COMMENT ON COLUMN series_catalogue.attributes IS 'Everything the producer says about the series, texts by name';
COMMENT ON COLUMN series_catalogue.first_ts IS 'Event time of the earliest reading that is kept; NULL where there is none';
COMMENT ON COLUMN series_catalogue.last_ts IS 'Event time of the latest reading; NULL where there is none';

CREATE INDEX series_site ON series (site, metric);

COMMENT ON INDEX series_site IS 'The series of a site';

-- What the board of the pipeline asks: dead letters of a time.
CREATE INDEX dead_letters_at ON dead_letters (at);

COMMENT ON INDEX dead_letters_at IS 'Dead letters in order of when they were set aside';

GRANT SELECT ON latest, series_catalogue TO streamgauge_reader;
GRANT EXECUTE ON FUNCTION
    recently(),
    usable(double precision, smallint),
    series(text, text, text),
    reaching(interval),
    buckets(timestamptz, timestamptz, interval, text),
    history(integer, timestamptz, timestamptz, interval),
    changes(integer, timestamptz, timestamptz, interval, text, interval),
    delta(integer, timestamptz, timestamptz, interval, text, interval),
    rate(integer, timestamptz, timestamptz, interval, text, interval),
    gapfill(integer, timestamptz, timestamptz, interval, text),
    locf(integer, timestamptz, timestamptz, interval, text, interval),
    interpolate(integer, timestamptz, timestamptz, interval, text, interval),
    time_weighted_avg(integer, timestamptz, timestamptz, interval, text, interval),
    lttb(integer, timestamptz, timestamptz, integer),
    asof_join(integer, integer, timestamptz, timestamptz, interval)
TO streamgauge_reader;
