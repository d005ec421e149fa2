-- Where series stand: tenant, site, zone, system, component; as it was at any time, and rollups of all that stands there.

ALTER TABLE series
    ADD COLUMN zone      text GENERATED ALWAYS AS (nullif(attributes ->> 'zone', '')) STORED,
    ADD COLUMN component text GENERATED ALWAYS AS (nullif(attributes ->> 'component', '')) STORED;

COMMENT ON COLUMN series.zone IS 'Attribute "zone": the part of the site';
COMMENT ON COLUMN series.component IS 'Attribute "component": the part of the system';

-- Five levels that have names, so a row holds all that a series is a part of: what is below a node begins with its
-- names. Nothing points to a parent, so nothing can be its own.
CREATE TABLE placements (
    tenant    text NOT NULL,
    source    text NOT NULL,
    metric    text,
    site      text,
    zone      text,
    system    text,
    component text,
    since     timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT one_place_at_a_time UNIQUE NULLS NOT DISTINCT (tenant, source, metric, since),
    CONSTRAINT begins_some_time CHECK (since < 'infinity'),
    CONSTRAINT names_are_not_empty CHECK ('' NOT IN (coalesce(site, '-'), coalesce(zone, '-'), coalesce(system, '-'), coalesce(component, '-')))
);

COMMENT ON TABLE placements IS 'Where series were put, and when; place_series and move_node write it. View series_places has the series that nobody put anywhere, too';
COMMENT ON COLUMN placements.tenant IS 'Whose series it is';
COMMENT ON COLUMN placements.source IS 'What is measured: a machine, a sensor, a service';
COMMENT ON COLUMN placements.metric IS 'Which of its series; NULL for all of them that have no row of their own yet';
COMMENT ON COLUMN placements.site IS 'Where it stands; NULL where it stands in none';
COMMENT ON COLUMN placements.zone IS 'Which part of the site';
COMMENT ON COLUMN placements.system IS 'What it is a part of';
COMMENT ON COLUMN placements.component IS 'Which part of the system';
COMMENT ON COLUMN placements.since IS 'From when on, until the next row of the same source and metric begins';
COMMENT ON CONSTRAINT one_place_at_a_time ON placements IS 'Who puts something somewhere again at the same time corrects that row';
COMMENT ON CONSTRAINT begins_some_time ON placements IS 'A place holds for a while';
COMMENT ON CONSTRAINT names_are_not_empty ON placements IS 'What stands in none has NULL';

-- Each ends where the next one begins, so one that is deleted leaves no hole.
CREATE VIEW places_held AS
SELECT tenant, source, metric, site, zone, system, component, since,
       lead(since, 1, 'infinity') OVER (PARTITION BY tenant, source, metric ORDER BY since) AS until
FROM placements;

COMMENT ON VIEW places_held IS 'Where series were put, and until when';
COMMENT ON COLUMN places_held.tenant IS 'Whose series it is';
COMMENT ON COLUMN places_held.source IS 'What is measured: a machine, a sensor, a service';
COMMENT ON COLUMN places_held.metric IS 'Which of its series; NULL for all of them that have no row of their own yet';
COMMENT ON COLUMN places_held.site IS 'Where it stands; NULL where it stands in none';
COMMENT ON COLUMN places_held.zone IS 'Which part of the site';
COMMENT ON COLUMN places_held.system IS 'What it is a part of';
COMMENT ON COLUMN places_held.component IS 'Which part of the system';
COMMENT ON COLUMN places_held.since IS 'From when on';
COMMENT ON COLUMN places_held.until IS 'Until when: the next one begins there; infinity in the last one';

-- A series stands where it was put; before that, where its source was put; before that, where its producer says.
CREATE VIEW series_places AS
SELECT s.series_id, s.tenant, s.source, s.metric, p.site, p.zone, p.system, p.component,
       p.since, p.until, 'series' AS put_as
FROM places_held AS p
JOIN series AS s ON s.source = p.source AND s.metric = p.metric AND s.tenant = p.tenant
UNION ALL
SELECT s.series_id, s.tenant, s.source, s.metric, p.site, p.zone, p.system, p.component,
       p.since, least(p.until, own.since), 'source'
FROM places_held AS p
JOIN series AS s ON s.source = p.source AND s.tenant = p.tenant
CROSS JOIN LATERAL (
    SELECT min(since) AS since FROM placements
    WHERE tenant = s.tenant AND source = s.source AND metric = s.metric
) AS own
WHERE p.metric IS NULL AND p.since < coalesce(own.since, 'infinity')
UNION ALL
SELECT s.series_id, s.tenant, s.source, s.metric, nullif(s.site, ''), s.zone, nullif(s.system, ''), s.component,
       '-infinity', coalesce(put.since, 'infinity'), NULL
FROM series AS s
CROSS JOIN LATERAL (
    SELECT min(since) AS since FROM placements
    WHERE tenant = s.tenant AND source = s.source AND (metric = s.metric OR metric IS NULL)
) AS put
WHERE put.since IS DISTINCT FROM '-infinity';

COMMENT ON VIEW series_places IS 'Where each series stands, and has stood: one row for each place and time';
COMMENT ON COLUMN series_places.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN series_places.tenant IS 'Whose series it is';
COMMENT ON COLUMN series_places.source IS 'What is measured: a machine, a sensor, a service';
COMMENT ON COLUMN series_places.metric IS 'Which of its quantities';
COMMENT ON COLUMN series_places.site IS 'Where it stands; NULL where it stands in none';
COMMENT ON COLUMN series_places.zone IS 'Which part of the site';
COMMENT ON COLUMN series_places.system IS 'What it is a part of';
COMMENT ON COLUMN series_places.component IS 'Which part of the system';
COMMENT ON COLUMN series_places.since IS 'From when on; -infinity for what nobody put anywhere before';
COMMENT ON COLUMN series_places.until IS 'Until when; infinity for where it was put last';
COMMENT ON COLUMN series_places.put_as IS 'series: it was put there itself; source: its source was; NULL: its producer says that it stands there';

CREATE FUNCTION place_series(
    tenant text, source text, metric text,
    site text, zone text DEFAULT NULL, system text DEFAULT NULL, component text DEFAULT NULL,
    since timestamptz DEFAULT NULL
)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    staying text;
BEGIN
    IF since = 'infinity' THEN
        RAISE EXCEPTION 'a place begins at a time, not infinity'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the time since when it stands there, or -infinity for ever.';
    ELSIF '' IN (place_series.tenant, place_series.source, place_series.metric) THEN
        RAISE EXCEPTION 'the name of a tenant, source or metric is empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'For all series of a source metric is NULL.';
    ELSIF '' IN (place_series.site, place_series.zone, place_series.system, place_series.component) THEN
        RAISE EXCEPTION 'the name of a place is empty'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Leave a level out by NULL.';
    END IF;
    LOCK TABLE placements IN SHARE ROW EXCLUSIVE MODE;
    -- Now is when nobody else says anything: who began earlier may come later.
    INSERT INTO placements (tenant, source, metric, site, zone, system, component, since)
    VALUES (
        place_series.tenant, place_series.source, place_series.metric,
        place_series.site, place_series.zone, place_series.system, place_series.component,
        coalesce(place_series.since, clock_timestamp())
    )
    ON CONFLICT ON CONSTRAINT one_place_at_a_time DO UPDATE
    SET site = excluded.site, zone = excluded.zone, system = excluded.system, component = excluded.component;
    IF NOT EXISTS (
        SELECT FROM series AS s
        WHERE s.source = place_series.source AND s.tenant = place_series.tenant
          AND s.metric = coalesce(place_series.metric, s.metric)
    ) THEN
        RAISE WARNING 'tenant % has no series % of source % yet',
            quote_nullable(tenant), coalesce(quote_literal(metric), 'at all'), quote_nullable(source)
            USING HINT = 'If these are not its names, take the place back: DELETE FROM placements.';
    END IF;
    SELECT string_agg(DISTINCT p.metric, ', ' ORDER BY p.metric) INTO staying
    FROM placements AS p
    WHERE p.tenant = place_series.tenant AND p.source = place_series.source
      AND place_series.metric IS NULL AND p.metric IS NOT NULL;
    IF staying IS NOT NULL THEN
        RAISE WARNING 'series of source % have places of their own, and stay there: %', quote_literal(source), staying
            USING HINT = 'Those that shall follow their source: take their places back, DELETE FROM placements.';
    END IF;
END
$$;

COMMENT ON FUNCTION place_series(text, text, text, text, text, text, text, timestamptz) IS 'Puts a series, or where metric is NULL all of a source that have no place of their own, somewhere from a time on, or from now, until where it is put next';

-- What stands in the node from then on is put anew, be it said by producers, put there before, or later. Sources follow
-- where all their series do: they, and series that come later, are one row, which the next one of the source ends.
CREATE FUNCTION move_node(
    tenant text, node text[], into_node text[], since timestamptz DEFAULT NULL, as_name text DEFAULT NULL
)
RETURNS bigint
LANGUAGE plpgsql
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    levels   CONSTANT text[] := ARRAY['site', 'zone', 'system', 'component'];
    shown    CONSTANT text := array_to_string(node, '/', '');
    shown_to CONSTANT text := coalesce(nullif(array_to_string(into_node, '/', ''), ''), '/');
    depth    CONSTANT integer := cardinality(node);
    name     CONSTANT text := coalesce(as_name, node[cardinality(node)]);
    prefix   CONSTANT text[] := into_node || array_fill(NULL::text, ARRAY[greatest(0, depth - 1 - cardinality(into_node))]) || name;
    begins   timestamptz := since;
    apart    record;
    count    bigint;
BEGIN
    IF node IS NULL OR depth = 0 OR depth > 4 OR node[depth] IS NULL OR name = '' THEN
        RAISE EXCEPTION '% is no node below a tenant', quote_nullable(shown)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name its site, zone, system and component, as far as it has them.';
    ELSIF into_node IS NULL OR cardinality(into_node) > 4 OR '' = ANY (into_node) THEN
        RAISE EXCEPTION 'nothing can be moved into %', quote_nullable(into_node::text)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name a node by an array; the tenant itself is {}.';
    ELSIF since = 'infinity' THEN
        RAISE EXCEPTION 'a move is at a time, not infinity'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Give the time since when it stands there, or -infinity for ever.';
    ELSIF into_node[:depth] IS NOT DISTINCT FROM node THEN
        RAISE EXCEPTION '% cannot be moved into %, which is %', shown, shown_to,
            CASE WHEN into_node = node THEN 'itself' ELSE 'a part of it' END
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Name a node outside of it.';
    ELSIF cardinality(into_node) >= depth THEN
        RAISE EXCEPTION '% is a %, and stands in no %', shown, levels[depth], levels[cardinality(into_node)]
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Levels are, from the highest on: tenant, site, zone, system, component.';
    END IF;
    LOCK TABLE placements IN SHARE ROW EXCLUSIVE MODE;
    begins := coalesce(begins, clock_timestamp());
    CREATE TEMP TABLE standing ON COMMIT DROP AS
    SELECT p.source, p.metric, ARRAY[p.site, p.zone, p.system, p.component] AS names,
           greatest(p.since, begins) AS since, p.until, true AS placed
    FROM places_held AS p
    WHERE p.tenant = move_node.tenant AND p.until > begins
    UNION ALL
    SELECT DISTINCT said.source, CASE WHEN said.lowest <> said.highest THEN said.metric END, said.names,
           begins, CASE WHEN said.lowest <> said.highest THEN said.until ELSE 'infinity' END, false
    FROM (
        SELECT p.source, p.metric, n.names, p.until,
               min(n.names) OVER (PARTITION BY p.source) AS lowest, max(n.names) OVER (PARTITION BY p.source) AS highest
        FROM series_places AS p
        CROSS JOIN LATERAL (SELECT ARRAY[p.site, p.zone, p.system, p.component] AS names) AS n
        WHERE p.tenant = move_node.tenant AND p.put_as IS NULL AND p.until > begins
    ) AS said;
    SELECT s.source, s.metric, s.until INTO apart
    FROM standing AS s
    WHERE s.names[:depth] IS NOT DISTINCT FROM node AND s.metric IS NOT NULL AND NOT s.placed AND EXISTS (
        SELECT FROM standing AS o WHERE o.source = s.source AND o.metric IS NULL AND o.since = s.until
    )
    ORDER BY s.source, s.metric LIMIT 1;
    IF NOT EXISTS (SELECT FROM standing WHERE names[:depth] IS NOT DISTINCT FROM node) THEN
        RAISE EXCEPTION 'nothing of tenant % stands in % from % on', quote_nullable(tenant), shown, begins
            USING ERRCODE = 'no_data_found', HINT = 'View series_places shows what stands where.';
    ELSIF EXISTS (SELECT FROM standing WHERE names[:depth] IS NOT DISTINCT FROM prefix) THEN
        RAISE EXCEPTION 'there is a % % in % already', levels[depth], quote_nullable(name), shown_to
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = format('Give what you move another name; what stands there, from %s on or later, is in series_places.', begins);
    ELSIF apart.source IS NOT NULL THEN
        RAISE EXCEPTION 'series % of source % stands apart from others, until all are put elsewhere at %',
            quote_literal(apart.metric), quote_literal(apart.source), apart.until
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Move from then on, or take that place back: DELETE FROM placements.';
    END IF;
    SELECT count(DISTINCT (s.source, s.metric)) INTO count
    FROM standing AS s WHERE s.names[:depth] IS NOT DISTINCT FROM node;
    INSERT INTO placements (tenant, source, metric, site, zone, system, component, since)
    SELECT move_node.tenant, s.source, s.metric, n.names[1], n.names[2], n.names[3], n.names[4], s.since
    FROM standing AS s
    CROSS JOIN LATERAL (SELECT prefix || s.names[depth + 1:] AS names) AS n
    WHERE s.names[:depth] IS NOT DISTINCT FROM node
    ON CONFLICT ON CONSTRAINT one_place_at_a_time DO UPDATE
    SET site = excluded.site, zone = excluded.zone, system = excluded.system, component = excluded.component;
    DROP TABLE standing;
    RETURN count;
END
$$;

COMMENT ON FUNCTION move_node(text, text[], text[], timestamptz, text) IS 'Moves a node of the hierarchy, given by the names of its site, zone, system and component, with all that stands in it from a time on, or will; returns how many series and sources that is';

ALTER TABLE metrics ADD COLUMN worst text NOT NULL DEFAULT 'highest'
    CONSTRAINT worst_is_known CHECK (worst IN ('highest', 'lowest'));

COMMENT ON COLUMN metrics.worst IS 'Which of its values is the worst of a group: highest or lowest';

-- Tenants share partitions: to the microsecond a mark is when somebody else measured something.
CREATE VIEW series_closed AS
SELECT m.series_id,
       date_bin((SELECT make_interval(secs => min(l.width_s)) FROM rollup_levels AS l), m.released_to, 'epoch') AS closed_to
FROM rollup_marks AS m;

COMMENT ON VIEW series_closed IS 'Up to where the buckets of each series are closed, in whole buckets of the narrowest level';
COMMENT ON COLUMN series_closed.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN series_closed.closed_to IS 'A bucket that ends by then is closed, whatever its level; -infinity before there is one';

CREATE FUNCTION members(
    metric text, since timestamptz, until timestamptz,
    node text[] DEFAULT '{}', by text DEFAULT NULL, placed timestamptz DEFAULT NULL, tenant text DEFAULT 'default'
)
RETURNS TABLE (
    source text, site text, zone text, system text, component text,
    member_from timestamptz, member_to timestamptz, closed_to timestamptz
)
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path TO pg_catalog, public, pg_temp
AS $$
#variable_conflict use_variable
DECLARE
    levels CONSTANT text[] := ARRAY['site', 'zone', 'system', 'component'];
    depth  CONSTANT integer := greatest(cardinality(node), array_position(levels, by));
BEGIN
    IF by <> ALL (levels) OR node IS NULL OR cardinality(node) > cardinality(levels) THEN
        RAISE EXCEPTION 'the hierarchy has no level % or no node %', quote_nullable(by), quote_nullable(node::text)
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'Levels below a tenant are site, zone, system and component; a node is an array of their names.';
    END IF;
    -- Planned for what is asked: an index of sites is of no use where none is named.
    RETURN QUERY EXECUTE $sql$
        SELECT p.source,
               CASE WHEN $7 >= 1 THEN p.site END, CASE WHEN $7 >= 2 THEN p.zone END,
               CASE WHEN $7 >= 3 THEN p.system END, CASE WHEN $7 >= 4 THEN p.component END,
               CASE WHEN $6 IS NULL THEN p.since ELSE '-infinity' END,
               CASE WHEN $6 IS NULL THEN p.until ELSE 'infinity' END,
               c.closed_to
        FROM series_places AS p
        JOIN series_closed AS c USING (series_id)
        WHERE p.tenant = $1 AND p.metric = $2 AND ($5[1] IS NULL OR p.site = $5[1])
          AND (ARRAY[p.site, p.zone, p.system, p.component])[:cardinality($5)] IS NOT DISTINCT FROM $5
          AND p.since <= coalesce($6, $4) AND p.until > coalesce($6, $3)
    $sql$ USING tenant, metric, since, until, node, placed, depth;
END
$$;

COMMENT ON FUNCTION members(text, timestamptz, timestamptz, text[], text, timestamptz, text) IS 'Which sources have a series of a metric that stands in a node between two times, in which of its nodes of level by, from when to when, and up to where their buckets are closed; where placed is given, which stand there at that time, for all times';

-- Members are looked up first, and then the rows of these sources, by the index, also behind a tenant's barrier. In one
-- query the planner does not know how many there are, and may read rows anew for each of them.
CREATE FUNCTION group_rollup(
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
    width  CONSTANT interval := (SELECT make_interval(secs => l.width_s) FROM rollup_levels AS l WHERE l.name = level);
    found  record;
BEGIN
    IF width IS NULL THEN
        RAISE EXCEPTION 'there are no rollups of level %', quote_nullable(level)
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Table rollup_levels lists the levels.';
    END IF;
    SELECT array_agg(m.source) AS sources, array_agg(m.site) AS sites, array_agg(m.zone) AS zones,
           array_agg(m.system) AS systems, array_agg(m.component) AS components,
           array_agg(m.member_from) AS begins, array_agg(m.member_to) AS ends, array_agg(m.closed_to) AS marks,
           array_agg(m.nth) AS nths
    INTO found FROM (
        SELECT *, dense_rank() OVER (ORDER BY m.site, m.zone, m.system, m.component) AS nth
        FROM members(metric, since, until, node, by, placed, tenant) AS m
    ) AS m;
    -- Members that have no row are counted apart from rows, and as many at once as came, went and are closed together.
    RETURN QUERY EXECUTE format($sql$
        WITH alike AS MATERIALIZED (
            SELECT m.nth, greatest(m.begins, $3) AS begins, least(m.ends, $4) AS ends, m.mark, count(*) AS members
            FROM unnest($12, $10, $11, $13) AS m (nth, begins, ends, mark)
            GROUP BY 1, 2, 3, 4
        ), grouped AS (
            SELECT r.bucket, p.nth, p.site, p.zone, p.system, p.component, count(*) AS series,
                   sum(r.readings)::bigint AS readings, sum(r.bad)::bigint AS bad,
                   sum(r.sum) AS sum, avg(r.mean) AS mean, min(r.min) AS min, max(r.max) AS max,
                   %2$s(r.source, r.%3$s) FILTER (WHERE r.%3$s IS NOT NULL) AS worst, %3$s(r.%3$s) AS worst_value,
                   bool_and(r.complete) AS complete
            FROM %1$I AS r
            JOIN unnest($5, $6, $7, $8, $9, $10, $11, $12) AS p (source, site, zone, system, component, begins, ends, nth)
              ON p.source = r.source AND p.begins <= r.bucket AND p.ends > r.bucket
            WHERE r.tenant = $1 AND r.metric = $2 AND r.bucket >= $3 AND r.bucket < $4 AND r.source = ANY ($5)
            GROUP BY 1, 2, 3, 4, 5, 6
        )
        SELECT g.bucket, g.site, g.zone, g.system, g.component, g.series, a.members, g.readings, g.bad,
               g.sum, g.mean, g.min, g.max, g.worst, g.worst_value, g.complete AND g.bucket + $14 <= a.mark
        FROM grouped AS g
        CROSS JOIN LATERAL (
            SELECT sum(a.members)::bigint AS members, min(a.mark) AS mark
            FROM alike AS a WHERE a.nth = g.nth AND a.begins <= g.bucket AND a.ends > g.bucket
        ) AS a
        ORDER BY 1, 2, 3, 4, 5
    $sql$, 'rollup_' || level, CASE WHEN lowest THEN 'first' ELSE 'last' END, CASE WHEN lowest THEN 'min' ELSE 'max' END)
    USING tenant, metric, since, until,
          found.sources, found.sites, found.zones, found.systems, found.components, found.begins, found.ends,
          found.nths, found.marks, width;
END
$$;

COMMENT ON FUNCTION group_rollup(text, text, timestamptz, timestamptz, text[], text, timestamptz, text) IS 'Rollups of all series of a metric that stand in a node: a row for each bucket of the level, or where by names a level of the hierarchy for each of its nodes. A bucket counts where the series stood when it began; where placed is given, where it stood at that time';

SELECT show_to_tenants(shown::regclass) FROM unnest(ARRAY['series', 'metrics', 'series_closed', 'series_places']) AS shown;

GRANT SELECT, INSERT, UPDATE, DELETE ON placements TO streamgauge_writer;
GRANT EXECUTE ON FUNCTION
    place_series(text, text, text, text, text, text, text, timestamptz),
    move_node(text, text[], text[], timestamptz, text)
TO streamgauge_writer;
GRANT SELECT ON places_held TO streamgauge_writer;
GRANT SELECT ON series_closed TO streamgauge_reader;
GRANT SELECT ON series_places TO streamgauge_reader, streamgauge_writer;
GRANT EXECUTE ON FUNCTION
    members(text, timestamptz, timestamptz, text[], text, timestamptz, text),
    group_rollup(text, text, timestamptz, timestamptz, text[], text, timestamptz, text)
TO streamgauge_reader;
SELECT show_to_tenants(shown::regprocedure)
FROM unnest(ARRAY[
    'members(text, timestamptz, timestamptz, text[], text, timestamptz, text)',
    'group_rollup(text, text, timestamptz, timestamptz, text[], text, timestamptz, text)'
]) AS shown;
