-- Forecasts of series by the hour, and how good each of them turned out to be.

CREATE TABLE forecasts (
    bucket    timestamptz NOT NULL,
    issued_at timestamptz NOT NULL,
    p10       double precision NOT NULL,
    p50       double precision NOT NULL,
    p90       double precision NOT NULL,
    error     double precision NOT NULL,
    scale     double precision,
    series_id integer NOT NULL,
    model     text NOT NULL,
    CONSTRAINT an_hour_ahead_at_least CHECK (bucket >= issued_at),
    CONSTRAINT quantiles_in_order CHECK (p10 <= p50 AND p50 <= p90)
);
SELECT create_hypertable('forecasts', by_range('bucket', INTERVAL '7 days'), create_default_indexes => false);
CREATE UNIQUE INDEX forecasts_once ON forecasts (series_id, issued_at, bucket);

COMMENT ON TABLE forecasts IS 'What series were forecast to do, by the hour, as it was issued: rows are never changed. They are kept as long as the rollups that they are about';
COMMENT ON COLUMN forecasts.bucket IS 'Begin of the hour that it is about';
COMMENT ON COLUMN forecasts.issued_at IS 'Nothing from this time on was known: the series had been released up to it';
COMMENT ON COLUMN forecasts.p10 IS 'The value of that hour is below it with 10 %: its mean, or what a counter rises by in it';
COMMENT ON COLUMN forecasts.p50 IS 'The value of that hour, as far as one can say';
COMMENT ON COLUMN forecasts.p90 IS 'The value of that hour is below it with 90 %';
COMMENT ON COLUMN forecasts.error IS 'Mean absolute error of the model on the days before it was issued';
COMMENT ON COLUMN forecasts.scale IS 'How far hours were from those a day before, in the mean, when it was issued; NULL where that was unknown. Errors are divided by it for the MASE';
COMMENT ON COLUMN forecasts.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN forecasts.model IS 'One of the simplest, where none was better on the days before: naive, as a day ago, as a week ago; or the median of those that were best';
COMMENT ON CONSTRAINT an_hour_ahead_at_least ON forecasts IS 'Nothing of an hour that is forecast was known';
COMMENT ON CONSTRAINT quantiles_in_order ON forecasts IS 'A lower quantile is not above a higher one';
COMMENT ON INDEX forecasts_once IS 'An hour of a series is forecast once at a time';

CREATE VIEW forecasts_named AS
SELECT f.bucket,
       f.issued_at,
       s.tenant,
       s.source,
       s.metric,
       f.p10,
       f.p50,
       f.p90,
       f.model,
       f.error,
       f.scale,
       s.unit
FROM forecasts AS f JOIN series AS s USING (series_id);

-- Made of rollups by the hour, so they are there where these are.
CREATE FUNCTION make_forecast_views()
RETURNS void
LANGUAGE plpgsql
SET search_path TO public
AS $do$
DECLARE
    about text[];
BEGIN
    CREATE VIEW forecast_hours AS
    SELECT c.series_id,
           c.bucket,
           CASE
               WHEN m.kind = 'counter' THEN c.increase + coalesce((
                   SELECT CASE WHEN c.first < b.last THEN c.first ELSE c.first - b.last END
                   FROM rollup_closed_1h AS b
                   WHERE b.series_id = c.series_id AND b.bucket < c.bucket
                     AND b.bucket >= c.bucket - INTERVAL '1 day' AND b.readings > b.bad
                   ORDER BY b.bucket DESC LIMIT 1
               ), 0)
               WHEN abs(c.sum) > 1e-280 THEN c.sum / (c.readings - c.bad)
               ELSE 0
           END AS value
    FROM rollup_closed_1h AS c
    JOIN series AS s USING (series_id)
    LEFT JOIN metrics AS m USING (tenant, metric)
    WHERE c.readings > c.bad;

    CREATE VIEW forecast_scores AS
    SELECT f.bucket,
           f.issued_at,
           s.tenant,
           s.source,
           s.metric,
           f.model,
           f.p10,
           f.p50,
           f.p90,
           h.value AS actual,
           (h.value BETWEEN f.p10 AND f.p90)::integer::smallint AS covered,
           abs(h.value - f.p50) / nullif(f.scale, 0) AS scaled_error,
           (greatest(0.1 * (h.value - f.p10), 0.9 * (f.p10 - h.value)) + 0.5 * abs(h.value - f.p50)
            + greatest(0.9 * (h.value - f.p90), 0.1 * (f.p90 - h.value))) / 3 AS pinball
    FROM forecasts AS f
    JOIN series AS s USING (series_id)
    JOIN forecast_hours AS h USING (series_id, bucket);

    CREATE VIEW forecast_calibration AS
    SELECT tenant,
           source,
           metric,
           count(*) AS hours,
           avg(scaled_error) AS mase,
           avg(covered)::double precision AS coverage,
           avg(pinball) AS pinball,
           min(bucket) AS first_bucket,
           max(bucket) AS last_bucket
    FROM forecast_scores
    GROUP BY tenant, source, metric;

    FOREACH about SLICE 1 IN ARRAY ARRAY[
        ARRAY['forecast_hours', '', 'What is forecast, and what forecasts are held against: hours that are closed and have a value'],
        ARRAY['forecast_hours', 'series_id', 'The series, a row of table series'],
        ARRAY['forecast_hours', 'bucket', 'Begin of the hour'],
        ARRAY['forecast_hours', 'value', 'Its mean; of a counter, what it rose by since the last value before'],
        ARRAY['forecast_scores', '', 'Every hour that was forecast and has happened: the ledger of forecasts'],
        ARRAY['forecast_scores', 'bucket', 'Begin of the hour'],
        ARRAY['forecast_scores', 'issued_at', 'When it was forecast'],
        ARRAY['forecast_scores', 'tenant', 'Whose series it is'],
        ARRAY['forecast_scores', 'source', 'What is measured: a machine, a sensor, a service'],
        ARRAY['forecast_scores', 'metric', 'Which of its quantities'],
        ARRAY['forecast_scores', 'model', 'Which models it is of'],
        ARRAY['forecast_scores', 'p10', 'The value was to be below it with 10 %'],
        ARRAY['forecast_scores', 'p50', 'What the value was to be'],
        ARRAY['forecast_scores', 'p90', 'The value was to be below it with 90 %'],
        ARRAY['forecast_scores', 'actual', 'What it was, as far as is known by now'],
        ARRAY['forecast_scores', 'covered', '1 where it was from p10 to p90, 0 where not; its mean should be 0.8'],
        ARRAY['forecast_scores', 'scaled_error', 'How far p50 was off, by how far hours are from those a day before; its mean is the MASE'],
        ARRAY['forecast_scores', 'pinball', 'Pinball loss, the mean of the three quantiles: the lower the better, in the unit of the metric'],
        ARRAY['forecast_calibration', '', 'How good the forecasts of each series were'],
        ARRAY['forecast_calibration', 'tenant', 'Whose series it is'],
        ARRAY['forecast_calibration', 'source', 'What is measured: a machine, a sensor, a service'],
        ARRAY['forecast_calibration', 'metric', 'Which of its quantities'],
        ARRAY['forecast_calibration', 'hours', 'How many hours were forecast and have happened, those forecast several times as often'],
        ARRAY['forecast_calibration', 'mase', 'Mean absolute scaled error: below 1 is better than as a day ago'],
        ARRAY['forecast_calibration', 'coverage', 'Share of the hours that were from p10 to p90: 0.8 is right'],
        ARRAY['forecast_calibration', 'pinball', 'Mean pinball loss, in the unit of the metric'],
        ARRAY['forecast_calibration', 'first_bucket', 'The first hour that counts'],
        ARRAY['forecast_calibration', 'last_bucket', 'The last hour that counts']
    ] LOOP
        EXECUTE CASE about[2]
            WHEN '' THEN format('COMMENT ON VIEW %I IS %L', about[1], about[3])
            ELSE format('COMMENT ON COLUMN %I.%I IS %L', about[1], about[2], about[3])
        END;
    END LOOP;

    GRANT SELECT ON forecast_hours TO streamgauge_writer;
    GRANT SELECT ON forecast_scores, forecast_calibration TO streamgauge_reader;
    PERFORM show_to_tenants(shown::regclass) FROM unnest(ARRAY['forecast_scores', 'forecast_calibration']) AS shown;
END
$do$;

ALTER FUNCTION set_rollup_levels(integer[], text[]) RENAME TO show_rollup_levels;
CREATE FUNCTION set_rollup_levels(wanted_s integer[], names text[])
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    IF '1h' <> ALL (names) THEN
        -- In the order of those who compute rollups.
        PERFORM pg_advisory_xact_lock(hashtext('streamgauge rollups'));
        DROP VIEW IF EXISTS
            tenant.forecast_calibration, tenant.forecast_scores,
            forecast_calibration, forecast_scores, forecast_hours;
    END IF;
    PERFORM show_rollup_levels(wanted_s, names);
    IF '1h' = ANY (names) AND to_regclass('public.forecast_hours') IS NULL THEN
        PERFORM make_forecast_views();
    END IF;
END
$$;

COMMENT ON VIEW forecasts_named IS 'What series were forecast to do, by the hour, as it was issued';
COMMENT ON COLUMN forecasts_named.bucket IS 'Begin of the hour that it is about';
COMMENT ON COLUMN forecasts_named.issued_at IS 'Nothing from this time on was known';
COMMENT ON COLUMN forecasts_named.tenant IS 'Whose series it is';
COMMENT ON COLUMN forecasts_named.source IS 'What is measured: a machine, a sensor, a service';
COMMENT ON COLUMN forecasts_named.metric IS 'Which of its quantities';
COMMENT ON COLUMN forecasts_named.p10 IS 'The value of that hour is below it with 10 %: its mean, or what a counter rises by in it';
COMMENT ON COLUMN forecasts_named.p50 IS 'The value of that hour, as far as one can say';
COMMENT ON COLUMN forecasts_named.p90 IS 'The value of that hour is below it with 90 %';
COMMENT ON COLUMN forecasts_named.model IS 'One of the simplest, where none was better on the days before: naive, as a day ago, as a week ago; or the median of those that were best';
COMMENT ON COLUMN forecasts_named.error IS 'Mean absolute error of the model on the days before';
COMMENT ON COLUMN forecasts_named.scale IS 'How far hours were from those a day before, in the mean; NULL where that was unknown';
COMMENT ON COLUMN forecasts_named.unit IS 'What the values count';

COMMENT ON FUNCTION make_forecast_views() IS 'Makes the views that forecasts are made from and held against';
COMMENT ON FUNCTION show_rollup_levels(integer[], text[]) IS 'Does what set_rollup_levels does, but for the views of forecasts';
COMMENT ON FUNCTION set_rollup_levels(integer[], text[]) IS 'Keeps rollups of these levels from now on, each a multiple of the one before, and shows them to tenants'' readers; computes what is new from what is there. Forecasts need the level 1h';

SELECT make_forecast_views() FROM rollup_levels WHERE name = '1h';
SELECT show_to_tenants('forecasts_named'::regclass);

GRANT SELECT, INSERT ON forecasts TO streamgauge_writer;
GRANT EXECUTE ON FUNCTION fits(text, text) TO streamgauge_writer;
GRANT SELECT ON forecasts_named TO streamgauge_reader;
