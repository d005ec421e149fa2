-- What was measured, and the series it belongs to.

CREATE TABLE series (
    series_id  integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text NOT NULL,
    source     text NOT NULL,
    metric     text NOT NULL,
    attributes jsonb NOT NULL DEFAULT '{}',
    unit       text GENERATED ALWAYS AS (attributes ->> 'unit') STORED,
    site       text GENERATED ALWAYS AS (attributes ->> 'site') STORED,
    system     text GENERATED ALWAYS AS (attributes ->> 'system') STORED,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source, metric, tenant)
);

COMMENT ON TABLE series IS 'One row for each series of readings: what is measured, where and in which unit';
COMMENT ON COLUMN series.series_id IS 'Number that stands for the series in table readings';
COMMENT ON COLUMN series.tenant IS 'Whose series it is; "default" where the producer names none';
COMMENT ON COLUMN series.source IS 'What is measured: a machine, a sensor, a service';
COMMENT ON COLUMN series.metric IS 'Which of its quantities: temperature, cpu.user, rpm';
COMMENT ON COLUMN series.attributes IS 'Everything the producer says about the series, texts by name; a later word replaces an earlier one';
COMMENT ON COLUMN series.unit IS 'Attribute "unit": what the values count, such as celsius or bytes';
COMMENT ON COLUMN series.site IS 'Attribute "site": where the source stands';
COMMENT ON COLUMN series.system IS 'Attribute "system": the larger thing that the source is a part of';
COMMENT ON COLUMN series.created_at IS 'When its first reading arrived here';

CREATE TABLE tenants (
    tenant       text PRIMARY KEY,
    series_count integer NOT NULL
);

COMMENT ON TABLE tenants IS 'How many series each tenant has, counted as they are registered';
COMMENT ON COLUMN tenants.tenant IS 'Name of the tenant';
COMMENT ON COLUMN tenants.series_count IS 'Rows of table series with this tenant; correct it after deleting series by hand';

-- Eight-byte columns first, so that no byte of a row is padding.
CREATE TABLE readings (
    ts        timestamptz NOT NULL,
    value     double precision NOT NULL,
    series_id integer NOT NULL,
    quality   smallint NOT NULL
);

SELECT create_hypertable(
    'readings', by_range('ts', INTERVAL '1 day'), create_default_indexes => false
);
-- Ascending, although the newest is asked for most: what arrives then goes to the end of its series,
-- where pages fill up, and the index is a third smaller. It is read backwards as fast.
CREATE INDEX readings_series_id_ts ON readings (series_id, ts);

COMMENT ON TABLE readings IS 'Every reading, once; view readings_named shows the same by name';
COMMENT ON COLUMN readings.ts IS 'Event time: when it was measured, by the producer''s clock';
COMMENT ON COLUMN readings.value IS 'The measurement; NaN where there is none (quality 2), NULL in the views';
COMMENT ON COLUMN readings.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN readings.quality IS '0 good, 1 uncertain, 2 bad';
COMMENT ON INDEX readings_series_id_ts IS 'A series'' readings in order of time';

CREATE VIEW readings_named AS
SELECT r.ts,
       s.tenant,
       s.source,
       s.metric,
       CASE WHEN abs(r.value) < 'infinity' THEN r.value END AS value,
       r.quality,
       s.unit,
       s.site,
       s.system
FROM readings AS r
JOIN series AS s USING (series_id);

COMMENT ON VIEW readings_named IS 'Readings with the names of their series: start here, and always bound ts';
COMMENT ON COLUMN readings_named.ts IS 'Event time: when it was measured, by the producer''s clock';
COMMENT ON COLUMN readings_named.tenant IS 'Whose series it is';
COMMENT ON COLUMN readings_named.source IS 'What is measured: a machine, a sensor, a service';
COMMENT ON COLUMN readings_named.metric IS 'Which of its quantities';
COMMENT ON COLUMN readings_named.value IS 'The measurement; NULL where there is none';
COMMENT ON COLUMN readings_named.quality IS '0 good, 1 uncertain, 2 bad';
COMMENT ON COLUMN readings_named.unit IS 'What the values count';
COMMENT ON COLUMN readings_named.site IS 'Where the source stands';
COMMENT ON COLUMN readings_named.system IS 'The larger thing that the source is a part of';

CREATE FUNCTION find_series(their_tenants text[], sources text[], metrics text[], said jsonb[])
RETURNS TABLE (
    nth bigint, tenant text, source text, metric text, attributes jsonb, series_id integer, up_to_date boolean
)
LANGUAGE sql STABLE
AS $$
    SELECT asked.nth, asked.tenant, asked.source, asked.metric, asked.attributes,
           s.series_id, coalesce(s.attributes @> asked.attributes, false)
    FROM unnest(their_tenants, sources, metrics, said)
         WITH ORDINALITY AS asked (tenant, source, metric, attributes, nth)
    LEFT JOIN series AS s
        ON s.source = asked.source AND s.metric = asked.metric AND s.tenant = asked.tenant
$$;

COMMENT ON FUNCTION find_series IS 'Look series up by name: their numbers (NULL where unknown), and whether their attributes hold all that is said';

-- Known series are only read. Anything new takes one lock, so that two workers neither deadlock nor
-- exceed the limit together, and no number is spent on a series that turns out to exist.
CREATE FUNCTION register_series(
    their_tenants text[], sources text[], metrics text[], said jsonb[], max_per_tenant integer
)
RETURNS TABLE (tenant text, source text, metric text, series_id integer)
LANGUAGE plpgsql
AS $$
#variable_conflict use_column
BEGIN
    IF EXISTS (SELECT FROM find_series(their_tenants, sources, metrics, said) WHERE NOT up_to_date) THEN
        PERFORM pg_advisory_xact_lock(hashtext('streamgauge register_series'));

        WITH unknown AS (
            SELECT f.*, row_number() OVER (PARTITION BY f.tenant ORDER BY f.nth) AS rank
            FROM find_series(their_tenants, sources, metrics, said) AS f
            WHERE f.series_id IS NULL
        ), added AS (
            INSERT INTO series (tenant, source, metric, attributes)
            SELECT u.tenant, u.source, u.metric, u.attributes
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
        SET attributes = s.attributes || f.attributes
        FROM find_series(their_tenants, sources, metrics, said) AS f
        WHERE s.series_id = f.series_id AND NOT f.up_to_date;
    END IF;

    RETURN QUERY
    SELECT f.tenant, f.source, f.metric, f.series_id
    FROM find_series(their_tenants, sources, metrics, said) AS f;
END
$$;

COMMENT ON FUNCTION register_series IS 'Numbers of the named series, each name given once; adds unknown ones up to max_per_tenant (NULL beyond it) and merges attributes';

GRANT SELECT, INSERT ON readings TO streamgauge_writer;
GRANT SELECT, INSERT, UPDATE ON series, tenants TO streamgauge_writer;
GRANT EXECUTE ON FUNCTION find_series, register_series TO streamgauge_writer;
GRANT SELECT ON readings, series, readings_named TO streamgauge_reader, streamgauge_writer;
