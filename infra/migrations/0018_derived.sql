-- Derived metrics: computed of rollups by an expression, and told as readings.

CREATE FUNCTION microseconds(at timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN isfinite(at) THEN (extract(epoch FROM at) * 1000000)::bigint END;

COMMENT ON FUNCTION microseconds(timestamptz) IS 'Microseconds since 1970; NULL for what is not finite';

CREATE TABLE derived_metrics (
    derived_id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant       text NOT NULL,
    metric       text NOT NULL,
    expression   text NOT NULL,
    inputs       text[] NOT NULL,
    level        text NOT NULL,
    per          text NOT NULL CONSTRAINT per_is_known CHECK (per IN ('source', 'component', 'system', 'zone', 'site', 'tenant')),
    node         text[] NOT NULL DEFAULT '{}',
    unit         text CONSTRAINT unit_is_ucum CHECK (unit ~ '^[!-~]+$'),
    since        timestamptz NOT NULL,
    computed_to  timestamptz NOT NULL DEFAULT '-infinity',
    batches      bigint NOT NULL DEFAULT 0,
    trouble      text,
    removed_at   timestamptz,
    UNIQUE (tenant, metric)
);

COMMENT ON TABLE derived_metrics IS 'Metrics that are computed of rollups of others, and told as readings; streamgauge derived define and remove write it';
COMMENT ON COLUMN derived_metrics.derived_id IS 'Number that stands for it';
COMMENT ON COLUMN derived_metrics.tenant IS 'Whose metric it is, and of whose series it is computed';
COMMENT ON COLUMN derived_metrics.metric IS 'Name of the metric that it makes';
COMMENT ON COLUMN derived_metrics.expression IS 'What is computed';
COMMENT ON COLUMN derived_metrics.inputs IS 'The metrics in it';
COMMENT ON COLUMN derived_metrics.level IS 'The level of rollups that it is computed of: there is a result for each of its buckets';
COMMENT ON COLUMN derived_metrics.per IS 'What there is a result of: each source, or each node of a level of the hierarchy';
COMMENT ON COLUMN derived_metrics.node IS 'Only what stands in this node: names of its site, zone, system and component; empty for all of the tenant';
COMMENT ON COLUMN derived_metrics.unit IS 'What its values count, in UCUM';
COMMENT ON COLUMN derived_metrics.since IS 'The first bucket that it is computed for';
COMMENT ON COLUMN derived_metrics.computed_to IS 'Buckets before are computed, but for those in derived_marks';
COMMENT ON COLUMN derived_metrics.batches IS 'How many messages told results';
COMMENT ON COLUMN derived_metrics.trouble IS 'Why it is not computed; NULL where it is';
COMMENT ON COLUMN derived_metrics.removed_at IS 'Since when it is not computed any more; NULL where it is';
COMMENT ON CONSTRAINT per_is_known ON derived_metrics IS 'Levels of the hierarchy, and sources below them';
COMMENT ON CONSTRAINT unit_is_ucum ON derived_metrics IS 'Units of UCUM are written without spaces, in ASCII';

-- What was told must be known to be told anew with a higher revision, or taken back.
CREATE TABLE derived_results (
    bucket     timestamptz NOT NULL,
    value      double precision,
    derived_id integer NOT NULL,
    revision   integer NOT NULL,
    source     text NOT NULL,
    without    text CONSTRAINT without_is_known CHECK (without IN ('missing', 'undefined', 'gone')),
    PRIMARY KEY (derived_id, bucket, source),
    CONSTRAINT has_a_value_or_not CHECK ((value IS NULL) = (without IS NOT NULL))
);
CREATE INDEX derived_results_without ON derived_results (derived_id, without, bucket) WHERE without IS NOT NULL;

COMMENT ON TABLE derived_results IS 'The last result of each bucket that can still change';
COMMENT ON COLUMN derived_results.bucket IS 'Begin of the bucket, which is the time of the reading';
COMMENT ON COLUMN derived_results.value IS 'What was computed; NULL where there is no result';
COMMENT ON COLUMN derived_results.derived_id IS 'The metric, a row of derived_metrics';
COMMENT ON COLUMN derived_results.revision IS 'Revision of the last reading that told it; -1 where none did';
COMMENT ON COLUMN derived_results.source IS 'Source of the reading: of the inputs, or the path of their node after a slash';
COMMENT ON COLUMN derived_results.without IS 'Why there is no result: missing, not all inputs have readings; undefined, as a division by zero is; gone, no input has any more. NULL where there is one';
COMMENT ON CONSTRAINT without_is_known ON derived_results IS 'These are all reasons';
COMMENT ON CONSTRAINT has_a_value_or_not ON derived_results IS 'A result, or a reason why there is none';
COMMENT ON INDEX derived_results_without IS 'What has no result';

-- Appended to and never updated: nobody waits for whoever computes.
CREATE TABLE derived_marks (
    derived_id integer NOT NULL,
    bucket     timestamptz NOT NULL,
    onward     boolean NOT NULL DEFAULT false
);
CREATE INDEX derived_marks_derived_bucket ON derived_marks (derived_id, bucket);

COMMENT ON TABLE derived_marks IS 'Buckets that are to be computed again: an input was revised, closed late, or moved';
COMMENT ON COLUMN derived_marks.derived_id IS 'The metric, a row of derived_metrics';
COMMENT ON COLUMN derived_marks.bucket IS 'Begin of the bucket, or a time in it';
COMMENT ON COLUMN derived_marks.onward IS 'Whether all buckets after it are meant, too';
COMMENT ON INDEX derived_marks_derived_bucket IS 'What is to be computed next of a metric';

CREATE TABLE derived_homes (
    derived_id integer NOT NULL,
    topic      text NOT NULL,
    partition  integer NOT NULL,
    taken_to   timestamptz NOT NULL,
    PRIMARY KEY (derived_id, topic, partition)
);

COMMENT ON TABLE derived_homes IS 'Up to where the closed buckets of each partition were seen by whoever computes a metric';
COMMENT ON COLUMN derived_homes.derived_id IS 'The metric, a row of derived_metrics';
COMMENT ON COLUMN derived_homes.topic IS 'Kafka topic';
COMMENT ON COLUMN derived_homes.partition IS 'Kafka partition';
COMMENT ON COLUMN derived_homes.taken_to IS 'What was closed before was taken in, or marked';

-- Nodes are computed as they were: who says another thing of a time that is computed has it computed again.
CREATE FUNCTION mark_derived_of_tenant(of_tenant text, from_time timestamptz, of_metrics text[] DEFAULT NULL)
RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO derived_marks (derived_id, bucket, onward)
    SELECT d.derived_id, from_time, true FROM derived_metrics AS d
    WHERE d.tenant = of_tenant AND d.removed_at IS NULL AND d.computed_to > from_time
      AND (d.per <> 'source' OR d.node <> '{}') AND (of_metrics IS NULL OR d.inputs && of_metrics);
END;

COMMENT ON FUNCTION mark_derived_of_tenant(text, timestamptz, text[]) IS 'Has what depends on places, of a tenant''s derived metrics that are computed of these metrics, or of all, computed again from a time on';

CREATE FUNCTION mark_derived_after_move() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path TO pg_catalog, public, pg_temp
AS $$
BEGIN
    IF TG_TABLE_NAME = 'series' THEN
        PERFORM mark_derived_of_tenant(NEW.tenant, '-infinity', ARRAY[NEW.metric]);
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM mark_derived_of_tenant(OLD.tenant, OLD.since);
    ELSE
        PERFORM mark_derived_of_tenant(NEW.tenant, least(OLD.since, NEW.since));
    END IF;
    RETURN NULL;
END
$$;

COMMENT ON FUNCTION mark_derived_after_move() IS 'Has derived metrics computed again from when on something stands elsewhere';

CREATE TRIGGER mark_derived_after_move AFTER INSERT OR UPDATE OR DELETE ON placements
FOR EACH ROW EXECUTE FUNCTION mark_derived_after_move();
CREATE TRIGGER mark_derived_after_move AFTER UPDATE ON series
FOR EACH ROW WHEN (
    (OLD.site, OLD.zone, OLD.system, OLD.component) IS DISTINCT FROM (NEW.site, NEW.zone, NEW.system, NEW.component)
)
EXECUTE FUNCTION mark_derived_after_move();

CREATE VIEW derived_state AS
SELECT d.tenant, d.metric, d.expression, d.level, d.per, d.node, d.unit, d.since,
       nullif(d.computed_to, '-infinity') AS computed_to,
       CASE WHEN EXISTS (SELECT FROM rollup_levels AS l WHERE l.name = d.level) THEN d.trouble
            ELSE format('there are no rollups of level %s', d.level) END AS trouble,
       r.results, r.missing, r.missing_at, r.undefined, r.undefined_at, r.corrected, m.waiting
FROM derived_metrics AS d
CROSS JOIN LATERAL (
    SELECT count(value) AS results,
           count(*) FILTER (WHERE without = 'missing') AS missing,
           max(bucket) FILTER (WHERE without = 'missing') AS missing_at,
           count(*) FILTER (WHERE without = 'undefined') AS undefined,
           max(bucket) FILTER (WHERE without = 'undefined') AS undefined_at,
           count(*) FILTER (WHERE revision > 0) AS corrected
    FROM derived_results AS r WHERE r.derived_id = d.derived_id
) AS r
CROSS JOIN LATERAL (SELECT count(*) AS waiting FROM derived_marks AS m WHERE m.derived_id = d.derived_id) AS m
WHERE d.removed_at IS NULL;

COMMENT ON VIEW derived_state IS 'Derived metrics, and how often each has no result; their values are in readings_named and rollups like all others';
COMMENT ON COLUMN derived_state.tenant IS 'Whose metric it is';
COMMENT ON COLUMN derived_state.metric IS 'Name of the metric';
COMMENT ON COLUMN derived_state.expression IS 'What is computed';
COMMENT ON COLUMN derived_state.level IS 'The level of rollups that it is computed of';
COMMENT ON COLUMN derived_state.per IS 'What there is a result of: each source, or each node of a level of the hierarchy';
COMMENT ON COLUMN derived_state.node IS 'Only what stands in this node; empty for all of the tenant';
COMMENT ON COLUMN derived_state.unit IS 'What its values count, in UCUM';
COMMENT ON COLUMN derived_state.since IS 'The first bucket that it is computed for';
COMMENT ON COLUMN derived_state.computed_to IS 'Buckets before are computed; NULL before there are any';
COMMENT ON COLUMN derived_state.trouble IS 'Why it is not computed; NULL where it is';
COMMENT ON COLUMN derived_state.results IS 'Buckets of sources or nodes that have a result, of those whose readings are kept';
COMMENT ON COLUMN derived_state.missing IS 'Buckets in which not all inputs have usable readings';
COMMENT ON COLUMN derived_state.missing_at IS 'The last of them';
COMMENT ON COLUMN derived_state.undefined IS 'Buckets for which the expression has no value: it divides by zero, or takes the root or logarithm of a negative number';
COMMENT ON COLUMN derived_state.undefined_at IS 'The last of them';
COMMENT ON COLUMN derived_state.corrected IS 'Buckets whose result was told more than once';
COMMENT ON COLUMN derived_state.waiting IS 'Marks of buckets that are to be computed again';

-- OFFSET keeps all conditions outside: how often there are no results is not told of others' metrics.
CREATE VIEW tenant.derived_state WITH (security_barrier) AS
SELECT * FROM public.derived_state WHERE tenant = (SELECT r.tenant FROM tenant.reader AS r) OFFSET 0;
COMMENT ON VIEW tenant.derived_state IS 'Derived metrics, and how often each has no result, of the reader''s tenant';

DO $$
DECLARE
    commented record;
BEGIN
    FOR commented IN
        SELECT attname, col_description(attrelid, attnum) AS said
        FROM pg_attribute WHERE attrelid = 'public.derived_state'::regclass AND attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN tenant.derived_state.%I IS %L', commented.attname, commented.said);
    END LOOP;
END
$$;

GRANT SELECT, INSERT, UPDATE ON derived_metrics TO streamgauge_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON derived_results, derived_marks, derived_homes TO streamgauge_writer;
GRANT SELECT ON derived_state TO streamgauge_reader, streamgauge_writer;
GRANT SELECT ON tenant.derived_state TO streamgauge_tenant;
GRANT EXECUTE ON FUNCTION microseconds(timestamptz) TO streamgauge_writer;
