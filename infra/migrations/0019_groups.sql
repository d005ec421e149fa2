-- Groups of many rows a day: their closed buckets are kept, for as long as the same series stand in them.

CREATE TYPE group_row AS (
    bucket   timestamptz,
    series   bigint,
    readings bigint,
    bad      bigint,
    sum      double precision,
    mean     double precision,
    min      double precision,
    max      double precision,
    lowest   text,
    highest  text,
    sketched bigint,
    sketch   sketch
);

COMMENT ON TYPE group_row IS 'A bucket of a group of series of a metric';
COMMENT ON COLUMN group_row.bucket IS 'Begin of the bucket';
COMMENT ON COLUMN group_row.series IS 'How many series report';
COMMENT ON COLUMN group_row.readings IS 'How many readings, bad ones among them';
COMMENT ON COLUMN group_row.bad IS 'How many of them say nothing';
COMMENT ON COLUMN group_row.sum IS 'Sum of the values';
COMMENT ON COLUMN group_row.mean IS 'Mean of the means of its series';
COMMENT ON COLUMN group_row.min IS 'Lowest value';
COMMENT ON COLUMN group_row.max IS 'Highest value';
COMMENT ON COLUMN group_row.lowest IS 'Which source has the lowest';
COMMENT ON COLUMN group_row.highest IS 'Which source has the highest';
COMMENT ON COLUMN group_row.sketched IS 'How many series have a sketch; NULL where the metric asks for no quantiles';
COMMENT ON COLUMN group_row.sketch IS 'Their sketches, merged';

CREATE TABLE group_blocks (
    tenant  text NOT NULL,
    metric  text NOT NULL,
    width_s integer NOT NULL,
    begins  timestamptz NOT NULL,
    members uuid NOT NULL,
    buckets group_row[] NOT NULL,
    PRIMARY KEY (tenant, metric, width_s, begins, members)
);

COMMENT ON TABLE group_blocks IS 'Closed buckets of groups, some at once; what is not here is computed from the rollups of the members, so all of it may be removed at any time';
COMMENT ON COLUMN group_blocks.tenant IS 'Whose series they are';
COMMENT ON COLUMN group_blocks.metric IS 'Which of their quantities';
COMMENT ON COLUMN group_blocks.width_s IS 'Seconds of a bucket: the level';
COMMENT ON COLUMN group_blocks.begins IS 'Begin of the first bucket; see group_span';
COMMENT ON COLUMN group_blocks.members IS 'Which series it was made of; see member_sets';
COMMENT ON COLUMN group_blocks.buckets IS 'Its buckets that have readings, in order of time';

CREATE TABLE group_work (
    tenant text NOT NULL,
    metric text NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, metric)
);

COMMENT ON TABLE group_work IS 'Metrics of which blocks of groups are to be looked at';
COMMENT ON COLUMN group_work.tenant IS 'Whose metric it is';
COMMENT ON COLUMN group_work.metric IS 'Its name';
COMMENT ON COLUMN group_work.due_at IS 'When: some time after something changed, for more may follow';

CREATE TABLE group_sweep (
    is_one   boolean PRIMARY KEY DEFAULT true CONSTRAINT there_is_one CHECK (is_one),
    swept_to timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO group_sweep DEFAULT VALUES;

COMMENT ON TABLE group_sweep IS 'Up to where groups were looked for: one row';
COMMENT ON COLUMN group_sweep.is_one IS 'True';
COMMENT ON CONSTRAINT there_is_one ON group_sweep IS 'There is one row';
COMMENT ON COLUMN group_sweep.swept_to IS 'Event time that some partition had come to, in whole blocks';

CREATE FUNCTION group_span(bucket_s integer) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN make_interval(secs => bucket_s * greatest(1, least(15, 3600 / bucket_s)));

COMMENT ON FUNCTION group_span(integer) IS 'How long a block of a level is: 15 buckets, within an hour';

-- Where a series stands is a part of what a set is called by, so a block of other members, or of other times of theirs, is
-- never found. Between two changes a set has one name: it is made once, and not for each block.
CREATE FUNCTION member_sets(
    sources text[], nths bigint[], member_from timestamptz[], member_to timestamptz[], marks timestamptz[],
    since timestamptz, until timestamptz, span interval, sketched boolean
)
RETURNS TABLE (nth bigint, begins timestamptz, series bigint, closed_to timestamptz, members uuid)
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path TO pg_catalog, public, pg_temp
AS $$
    WITH member AS MATERIALIZED (
        SELECT * FROM unnest(sources, nths, member_from, member_to, marks) AS m (source, nth, since, until, mark)
    ), changes AS MATERIALIZED (
        SELECT DISTINCT c.at FROM member AS m CROSS JOIN LATERAL (VALUES (m.since), (m.until)) AS c (at)
        WHERE c.at >= $6 AND c.at < $7 + $8
    ), blocks AS MATERIALIZED (
        SELECT b.at AS begins,
               (SELECT count(*) FROM changes AS c WHERE c.at <= b.at) AS before,
               (SELECT count(*) FROM changes AS c WHERE c.at < b.at + span) AS upto
        FROM generate_series(since, until - INTERVAL '1 microsecond', span) AS b (at)
    ), sets AS (
        SELECT a.before, a.upto, m.nth, count(*) AS series, min(m.mark) AS closed_to,
               md5(sketched::text || array_agg(ROW(
                   m.source,
                   CASE WHEN m.since > a.begins THEN extract(epoch FROM m.since) END,
                   CASE WHEN m.until < a.begins + span THEN extract(epoch FROM m.until) END
               ) ORDER BY m.source, m.since)::text)::uuid AS members
        FROM (SELECT before, upto, min(begins) AS begins FROM blocks GROUP BY 1, 2) AS a
        JOIN member AS m ON m.since < a.begins + span AND m.until > a.begins
        GROUP BY 1, 2, 3
    )
    SELECT s.nth, b.begins, s.series, s.closed_to, s.members FROM blocks AS b JOIN sets AS s USING (before, upto)
$$;

COMMENT ON FUNCTION member_sets(text[], bigint[], timestamptz[], timestamptz[], timestamptz[], timestamptz, timestamptz, interval, boolean) IS 'What the sets of members of groups are called by in each block between two times, how many members they have, and up to where all of these are closed';

CREATE FUNCTION group_made(
    level text, metric text, tenant text, since timestamptz, until timestamptz,
    sources text[], nths bigint[], member_from timestamptz[], member_to timestamptz[], wanted bigint[]
)
RETURNS TABLE (nth bigint, made group_row, complete boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    those record;
BEGIN
    SELECT array_agg(m.source) AS sources, array_agg(m.nth) AS nths, array_agg(m.since) AS begins, array_agg(m.until) AS ends
    INTO those FROM unnest(sources, nths, member_from, member_to) AS m (source, nth, since, until)
    WHERE m.nth = ANY (wanted) AND m.since < until AND m.until > since;
    -- Planned for what is asked: with names and times as constants chunks are excluded, also behind a tenant's barrier.
    RETURN QUERY EXECUTE format($sql$
        SELECT g.nth, ROW(
                   g.bucket, g.series, g.readings, g.bad, g.sum, g.mean, g.min, g.max, ($5)[g.lowest], ($5)[g.highest],
                   NULL::bigint, NULL::sketch
               )::group_row, g.complete
        FROM (
            SELECT p.nth, r.bucket, count(*) AS series, sum(r.readings)::bigint AS readings, sum(r.bad)::bigint AS bad,
                   sum(r.sum) AS sum, avg(r.mean) AS mean, min(r.min) AS min, max(r.max) AS max,
                   first(p.place, r.min) FILTER (WHERE r.min IS NOT NULL) AS lowest,
                   last(p.place, r.max) FILTER (WHERE r.max IS NOT NULL) AS highest,
                   bool_and(r.complete) AS complete
            FROM %I AS r
            JOIN unnest($5, $6, $7, $8) WITH ORDINALITY AS p (source, nth, begins, ends, place)
              ON p.source = r.source AND p.begins <= r.bucket AND p.ends > r.bucket
            WHERE r.tenant = $1 AND r.metric = $2 AND r.bucket >= $3 AND r.bucket < $4 AND r.source = ANY ($9)
            GROUP BY 1, 2
        ) AS g
    $sql$, 'rollup_' || level)
    USING tenant, metric, since, until, those.sources, those.nths, those.begins, those.ends,
          ARRAY(SELECT DISTINCT s FROM unnest(those.sources) AS s);
END
$$;

COMMENT ON FUNCTION group_made(text, text, text, timestamptz, timestamptz, text[], bigint[], timestamptz[], timestamptz[], bigint[]) IS 'Buckets of some of the groups that these sources are members of, made of rollups; without sketches';

CREATE FUNCTION group_sketched(
    level text, metric text, tenant text, since timestamptz, until timestamptz,
    sources text[], nths bigint[], member_from timestamptz[], member_to timestamptz[], wanted bigint[]
)
RETURNS TABLE (nth bigint, made group_row, complete boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    RETURN QUERY
    SELECT g.nth, ROW(
               g.bucket, NULL::bigint, NULL::bigint, NULL::bigint, NULL::float8, NULL::float8, NULL::float8, NULL::float8,
               NULL::text, NULL::text, g.series, g.sketch
           )::group_row, g.complete
    FROM (
        SELECT p.nth, q.bucket, count(*) AS series, merge_sketches(q.sketch) AS sketch, bool_and(q.complete) AS complete
        FROM series_quantiles(level, metric, since, until, ARRAY(
            SELECT DISTINCT m.source FROM unnest(sources, nths, member_from, member_to) AS m (source, nth, since, until)
            WHERE m.nth = ANY (wanted) AND m.since < until AND m.until > since
        ), tenant) AS q
        JOIN unnest(sources, nths, member_from, member_to) AS p (source, nth, begins, ends)
          ON p.source = q.source AND p.begins <= q.bucket AND p.ends > q.bucket AND p.nth = ANY (wanted)
        GROUP BY 1, 2
    ) AS g;
END
$$;

COMMENT ON FUNCTION group_sketched(text, text, text, timestamptz, timestamptz, text[], bigint[], timestamptz[], timestamptz[], bigint[]) IS 'Buckets of some of the groups that these sources are members of, made of sketches alone';

-- What is kept is found by the members' sets; what is not is made, each run of blocks for the groups that lack it.
CREATE FUNCTION group_rows(
    level text, metric text, since timestamptz, until timestamptz,
    node text[], by text, placed timestamptz, tenant text, sketches boolean
)
RETURNS TABLE (site text, zone text, system text, component text, members bigint, made group_row, complete boolean)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    wide_s   CONSTANT integer := (SELECT l.width_s FROM rollup_levels AS l WHERE l.name = level);
    asks     CONSTANT boolean := EXISTS (
        SELECT FROM metrics AS m WHERE m.tenant = $8 AND m.metric = $2 AND m.quantiles
    );
    span     CONSTANT interval := group_span(wide_s);
    found    record;
    kept     record;
BEGIN
    SELECT coalesce(array_agg(m.source), '{}') AS sources, array_agg(m.nth) AS nths,
           array_agg(m.site) AS sites, array_agg(m.zone) AS zones,
           array_agg(m.system) AS systems, array_agg(m.component) AS components,
           array_agg(m.member_from) AS begins, array_agg(m.member_to) AS ends, array_agg(m.closed_to) AS marks
    INTO found FROM (
        SELECT *, dense_rank() OVER (ORDER BY m.site, m.zone, m.system, m.component) AS nth
        FROM members(metric, since, until, node, by, placed, tenant) AS m
    ) AS m;
    SELECT min(b.begins) AS since, max(b.begins) + span AS until INTO kept FROM group_blocks AS b
    WHERE b.tenant = $8 AND b.metric = $2 AND b.width_s = wide_s AND b.begins >= since - span AND b.begins < until;
    RETURN QUERY
    WITH blocks AS MATERIALIZED (
        SELECT s.nth, s.begins, b.buckets
        FROM member_sets(
            found.sources, found.nths, found.begins, found.ends, found.marks, kept.since, kept.until, span, asks
        ) AS s
        LEFT JOIN group_blocks AS b
          ON b.tenant = $8 AND b.metric = $2 AND b.width_s = wide_s AND b.begins = s.begins AND b.members = s.members
         AND s.begins + span <= s.closed_to
    ), lacking AS (
        SELECT b.begins, array_agg(b.nth ORDER BY b.nth) AS nths FROM blocks AS b WHERE b.buckets IS NULL GROUP BY 1
    ), runs AS (
        SELECT min(l.begins) AS since, max(l.begins) + span AS until, l.nths
        FROM (SELECT *, begins - span * row_number() OVER (PARTITION BY nths ORDER BY begins) AS run FROM lacking) AS l
        GROUP BY l.nths, l.run
        UNION ALL
        SELECT rest.since, rest.until, ARRAY(SELECT DISTINCT all_of.nth FROM unnest(found.nths) AS all_of (nth))
        FROM (VALUES (since, coalesce(kept.since, until)), (kept.until, until)) AS rest (since, until)
        WHERE rest.since < rest.until AND cardinality(found.sources) > 0
    ), buckets AS (
        SELECT b.nth, u::group_row AS made, (u).bucket AS bucket, true AS complete
        FROM blocks AS b
        CROSS JOIN LATERAL unnest(b.buckets) AS u
        WHERE (u).bucket >= since AND (u).bucket < until AND NOT (sketches AND (u).sketch IS NULL)
        UNION ALL
        SELECT m.nth, m.made, (m.made).bucket, m.complete
        FROM (SELECT * FROM runs WHERE NOT sketches) AS r
        CROSS JOIN LATERAL group_made(
            level, metric, tenant, greatest(r.since, since), least(r.until, until),
            found.sources, found.nths, found.begins, found.ends, r.nths
        ) AS m
        UNION ALL
        SELECT m.nth, m.made, (m.made).bucket, m.complete
        FROM (SELECT * FROM runs WHERE sketches) AS r
        CROSS JOIN LATERAL group_sketched(
            level, metric, tenant, greatest(r.since, since), least(r.until, until),
            found.sources, found.nths, found.begins, found.ends, r.nths
        ) AS m
    ), alike AS MATERIALIZED (
        -- Members that have no row are counted apart from rows, and as many at once as came, went and are closed together.
        SELECT m.nth, greatest(m.begins, since) AS begins, least(m.ends, until) AS ends, m.mark, count(*) AS members
        FROM unnest(found.nths, found.begins, found.ends, found.marks) AS m (nth, begins, ends, mark)
        GROUP BY 1, 2, 3, 4
    ), nodes AS MATERIALIZED (
        SELECT DISTINCT n.* FROM unnest(found.nths, found.sites, found.zones, found.systems, found.components)
            AS n (nth, site, zone, system, component)
    )
    SELECT n.site, n.zone, n.system, n.component, a.members, g.made,
           g.complete AND g.bucket + make_interval(secs => wide_s) <= a.mark
    FROM buckets AS g
    JOIN nodes AS n USING (nth)
    CROSS JOIN LATERAL (
        SELECT sum(a.members)::bigint AS members, min(a.mark) AS mark
        FROM alike AS a WHERE a.nth = g.nth AND a.begins <= g.bucket AND a.ends > g.bucket
    ) AS a;
END
$$;

COMMENT ON FUNCTION group_rows(text, text, timestamptz, timestamptz, text[], text, timestamptz, text, boolean) IS 'What group_rollup and group_quantiles return, be it kept or made of the rollups or sketches of its members';

CREATE OR REPLACE FUNCTION group_rollup(
    level text, metric text, since timestamptz, until timestamptz,
    node text[] DEFAULT '{}', by text DEFAULT NULL, placed timestamptz DEFAULT NULL, tenant text DEFAULT 'default'
)
RETURNS TABLE (
    bucket timestamptz, site text, zone text, system text, component text,
    series bigint, members bigint, readings bigint, bad bigint,
    sum double precision, mean double precision, min double precision, max double precision,
    worst text, worst_value double precision, complete boolean
)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    lowest CONSTANT boolean := EXISTS (
        SELECT FROM metrics AS m WHERE m.tenant = $8 AND m.metric = $2 AND m.worst = 'lowest'
    );
BEGIN
    IF NOT EXISTS (SELECT FROM rollup_levels AS l WHERE l.name = level) THEN
        RAISE EXCEPTION 'there are no rollups of level %', quote_nullable(level)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Table rollup_levels lists the levels.';
    END IF;
    RETURN QUERY
    SELECT m.bucket, g.site, g.zone, g.system, g.component, m.series, g.members, m.readings, m.bad,
           m.sum, m.mean, m.min, m.max,
           CASE WHEN lowest THEN m.lowest ELSE m.highest END, CASE WHEN lowest THEN m.min ELSE m.max END, g.complete
    FROM group_rows(level, metric, since, until, node, by, placed, tenant, false) AS g
    CROSS JOIN LATERAL (SELECT (g.made).*) AS m
    ORDER BY 1, 2, 3, 4, 5;
END
$$;

CREATE OR REPLACE FUNCTION group_quantiles(
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
BEGIN
    PERFORM FROM series_quantiles(level, metric, since, since, '{}', tenant); -- which refuses what makes no sense
    RETURN QUERY
    SELECT (g.made).bucket, g.site, g.zone, g.system, g.component, (g.made).sketched, g.members, (g.made).sketch, g.complete
    FROM group_rows(level, metric, since, until, node, by, placed, tenant, true) AS g
    ORDER BY 1, 2, 3, 4, 5;
END
$$;

-- Two days of blocks, for groups that have more than 5,000 rows of a level in a day: of all nodes at once, as a row of a series
-- counts for five of them. Others are as quick to make as to find. Of many series it is a block at once.
CREATE FUNCTION extend_groups_of(their_tenant text, their_metric text)
RETURNS integer
LANGUAGE plpgsql
SET search_path TO pg_catalog, public, pg_temp
AS $$
DECLARE
    ends     timestamptz;
    asks     CONSTANT boolean := EXISTS (
        SELECT FROM metrics AS m WHERE m.tenant = their_tenant AND m.metric = their_metric AND m.quantiles
    );
    in_all   integer := 0;
    level    record;
    found    record;
    due      record;
BEGIN
    SELECT max(c.closed_to) INTO ends FROM series AS s JOIN series_closed AS c USING (series_id)
    WHERE s.tenant = their_tenant AND s.metric = their_metric;
    IF ends IS NULL OR NOT isfinite(ends) THEN
        RETURN 0;
    END IF;
    SELECT array_agg(m.source) AS sources, array_agg(m.nth) AS nths, array_agg(m.member_from) AS begins,
           array_agg(m.member_to) AS ends, array_agg(m.closed_to) AS marks
    INTO found FROM (
        SELECT m.*, dense_rank() OVER (ORDER BY d.depth, n.names[:d.depth]) AS nth
        FROM members(their_metric, ends - INTERVAL '3 days', ends, '{}', 'component', NULL, their_tenant) AS m
        CROSS JOIN generate_series(0, 4) AS d (depth)
        CROSS JOIN LATERAL (SELECT ARRAY[m.site, m.zone, m.system, m.component] AS names) AS n
    ) AS m;
    FOR level IN SELECT l.*, group_span(l.width_s) AS span FROM rollup_levels AS l ORDER BY l.width_s LOOP
        WITH sets AS MATERIALIZED (
            SELECT * FROM member_sets(
                found.sources, found.nths, found.begins, found.ends, found.marks,
                date_bin(level.span, ends - INTERVAL '2 days', 'epoch'), date_bin(level.span, ends, 'epoch'),
                level.span, asks
            ) AS s
            WHERE s.series * (86400 / level.width_s) > 5000 AND s.begins + level.span <= s.closed_to
        ), gone AS (
            DELETE FROM group_blocks AS b
            WHERE b.tenant = their_tenant AND b.metric = their_metric AND b.width_s = level.width_s
              AND NOT EXISTS (SELECT FROM sets AS s WHERE s.begins = b.begins AND s.members = b.members)
        ), lacking AS (
            SELECT DISTINCT ON (s.begins, s.members) s.*, max(s.begins) OVER () AS latest FROM sets AS s
            WHERE NOT EXISTS (
                SELECT FROM group_blocks AS b
                WHERE b.tenant = their_tenant AND b.metric = their_metric AND b.width_s = level.width_s
                  AND b.begins = s.begins AND b.members = s.members
            )
        )
        SELECT array_agg(l.nth) AS nths, array_agg(l.begins) AS begins, array_agg(l.members) AS members,
               min(l.begins) AS since, max(l.begins) + level.span AS until, array_agg(DISTINCT l.nth) AS wanted
        INTO due FROM lacking AS l WHERE l.begins > l.latest - level.span * greatest(1, least(12, 20000 / cardinality(found.sources)));
        CONTINUE WHEN due.nths IS NULL;
        INSERT INTO group_blocks (tenant, metric, width_s, begins, members, buckets)
        SELECT their_tenant, their_metric, level.width_s, d.begins, d.members, coalesce(
            array_agg(m.made ORDER BY (m.made).bucket) FILTER (WHERE (m.made).bucket IS NOT NULL), '{}'
        )
        FROM unnest(due.nths, due.begins, due.members) AS d (nth, begins, members)
        LEFT JOIN (
            SELECT g.nth, ROW(
                       r.bucket, r.series, r.readings, r.bad, r.sum, r.mean, r.min, r.max, r.lowest, r.highest,
                       CASE WHEN asks THEN coalesce((q.made).sketched, 0) END, (q.made).sketch
                   )::group_row AS made
            FROM group_made(
                level.name, their_metric, their_tenant, due.since, due.until,
                found.sources, found.nths, found.begins, found.ends, due.wanted
            ) AS g
            CROSS JOIN LATERAL (SELECT (g.made).*) AS r
            LEFT JOIN (
                SELECT s.* FROM group_sketched(
                    level.name, their_metric, their_tenant, due.since, due.until,
                    found.sources, found.nths, found.begins, found.ends, due.wanted
                ) AS s WHERE asks OFFSET 0 -- or it is called first, which refuses a metric that asks for none
            ) AS q ON q.nth = g.nth AND (q.made).bucket = r.bucket
        ) AS m ON m.nth = d.nth AND (m.made).bucket >= d.begins AND (m.made).bucket < d.begins + level.span
        GROUP BY d.begins, d.members;
        in_all := in_all + cardinality(due.nths);
    END LOOP;
    RETURN in_all;
END
$$;

COMMENT ON FUNCTION extend_groups_of(text, text) IS 'Keeps some of the closed blocks of all groups of a metric that pay, the latest first, and removes those of others; returns how many it made';

-- Shortly after a partition came to the end of a block the others have, too.
CREATE FUNCTION extend_groups(most integer DEFAULT 1)
RETURNS integer
LANGUAGE plpgsql
SET search_path TO pg_catalog, public, pg_temp
AS $$
DECLARE
    narrowest CONSTANT integer := (SELECT min(width_s) FROM rollup_levels);
    target    CONSTANT timestamptz := (
        SELECT date_bin(group_span(narrowest), max(released_to), 'epoch') FROM progress WHERE isfinite(released_to)
    );
    in_all    integer := 0;
    made      integer;
    work      record;
BEGIN
    UPDATE group_sweep SET swept_to = target WHERE swept_to < target;
    IF FOUND THEN
        DELETE FROM group_blocks AS b WHERE NOT EXISTS (SELECT FROM rollup_levels AS l WHERE l.width_s = b.width_s);
        INSERT INTO group_work (tenant, metric, due_at)
        SELECT s.tenant, s.metric, clock_timestamp() + INTERVAL '30 seconds' FROM series AS s
        GROUP BY 1, 2 HAVING count(*) * (86400 / narrowest) > 5000
        ON CONFLICT ON CONSTRAINT group_work_pkey DO NOTHING;
    END IF;
    FOR work IN
        SELECT w.tenant, w.metric FROM group_work AS w WHERE w.due_at <= clock_timestamp() ORDER BY w.due_at LIMIT most
    LOOP
        made := extend_groups_of(work.tenant, work.metric);
        IF made = 0 THEN
            DELETE FROM group_work AS w WHERE w.tenant = work.tenant AND w.metric = work.metric;
        END IF;
        in_all := in_all + made;
    END LOOP;
    RETURN in_all;
END
$$;

COMMENT ON FUNCTION extend_groups(integer) IS 'Keeps blocks of groups of so many metrics at most, of those that are due; for whoever computes rollups. Returns how many it made';

CREATE FUNCTION forget_groups(from_s integer)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, public, pg_temp
AS $$
DECLARE
    oldest CONSTANT timestamptz := (SELECT min(begins) FROM group_blocks);
BEGIN
    WITH stale AS (
        SELECT DISTINCT s.tenant, s.metric, l.width_s, g.begins
        FROM dirty_now AS d
        JOIN series AS s USING (series_id)
        CROSS JOIN (SELECT width_s, group_span(width_s) AS span FROM rollup_levels WHERE width_s >= from_s) AS l
        CROSS JOIN LATERAL generate_series(
            date_bin(l.span, greatest(d.begins, oldest), 'epoch'), d.ends - INTERVAL '1 microsecond', l.span
        ) AS g (begins)
        WHERE d.ends > oldest
    ), gone AS (
        DELETE FROM group_blocks AS b USING stale AS s
        WHERE b.tenant = s.tenant AND b.metric = s.metric AND b.width_s = s.width_s AND b.begins = s.begins
        RETURNING b.tenant, b.metric
    )
    INSERT INTO group_work (tenant, metric, due_at)
    SELECT DISTINCT g.tenant, g.metric, clock_timestamp() + INTERVAL '30 seconds' FROM gone AS g
    ON CONFLICT ON CONSTRAINT group_work_pkey DO NOTHING;
END
$$;

COMMENT ON FUNCTION forget_groups(integer) IS 'Removes the blocks of groups that the spans in dirty_now lie in, of this level and those above; for whoever computes rollups';

-- By hand: what buckets hold was measured, and an element of an array may be compared before a tenant's barrier.
CREATE VIEW tenant.group_blocks WITH (security_barrier) AS
SELECT shown.tenant, shown.metric, shown.width_s, shown.begins, shown.members, tenant.measured(shown.buckets) AS buckets
FROM public.group_blocks AS shown
WHERE shown.tenant = (SELECT r.tenant FROM tenant.reader AS r);

COMMENT ON VIEW tenant.group_blocks IS 'Closed buckets of groups, some at once, of the reader''s tenant';
COMMENT ON COLUMN tenant.group_blocks.tenant IS 'Whose series they are';
COMMENT ON COLUMN tenant.group_blocks.metric IS 'Which of their quantities';
COMMENT ON COLUMN tenant.group_blocks.width_s IS 'Seconds of a bucket: the level';
COMMENT ON COLUMN tenant.group_blocks.begins IS 'Begin of the first bucket; see group_span';
COMMENT ON COLUMN tenant.group_blocks.members IS 'Which series it was made of; see member_sets';
COMMENT ON COLUMN tenant.group_blocks.buckets IS 'Its buckets that have readings, in order of time';

GRANT SELECT ON tenant.group_blocks TO streamgauge_tenant;
GRANT SELECT ON group_blocks TO streamgauge_reader;
GRANT SELECT, INSERT, DELETE ON group_blocks, group_work TO streamgauge_writer;
GRANT SELECT, UPDATE ON group_sweep TO streamgauge_writer;
GRANT SELECT ON series_closed TO streamgauge_writer;
GRANT EXECUTE ON FUNCTION
    group_span(integer),
    member_sets(text[], bigint[], timestamptz[], timestamptz[], timestamptz[], timestamptz, timestamptz, interval, boolean),
    group_made(text, text, text, timestamptz, timestamptz, text[], bigint[], timestamptz[], timestamptz[], bigint[]),
    group_sketched(text, text, text, timestamptz, timestamptz, text[], bigint[], timestamptz[], timestamptz[], bigint[])
TO streamgauge_reader, streamgauge_writer;
GRANT EXECUTE ON FUNCTION
    group_rows(text, text, timestamptz, timestamptz, text[], text, timestamptz, text, boolean)
TO streamgauge_reader;
GRANT EXECUTE ON FUNCTION
    members(text, timestamptz, timestamptz, text[], text, timestamptz, text),
    series_quantiles(text, text, timestamptz, timestamptz, text[], text),
    merge_sketches(sketch),
    merged(sketch[]),
    sketch_of(integer[], bigint[]),
    extend_groups(integer),
    extend_groups_of(text, text),
    forget_groups(integer)
TO streamgauge_writer;
SELECT show_to_tenants(shown::regprocedure)
FROM unnest(ARRAY[
    'group_span(integer)',
    'member_sets(text[], bigint[], timestamptz[], timestamptz[], timestamptz[], timestamptz, timestamptz, interval, boolean)',
    'group_made(text, text, text, timestamptz, timestamptz, text[], bigint[], timestamptz[], timestamptz[], bigint[])',
    'group_sketched(text, text, text, timestamptz, timestamptz, text[], bigint[], timestamptz[], timestamptz[], bigint[])',
    'group_rows(text, text, timestamptz, timestamptz, text[], text, timestamptz, text, boolean)',
    'group_rollup(text, text, timestamptz, timestamptz, text[], text, timestamptz, text)',
    'group_quantiles(text, text, timestamptz, timestamptz, text[], text, timestamptz, text)'
]) AS shown;
