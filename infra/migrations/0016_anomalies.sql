-- Episodes that detectors tell of, and what detectors remember.

CREATE TABLE anomalies (
    started_at timestamptz NOT NULL,
    peak_at    timestamptz NOT NULL,
    ended_at   timestamptz,
    score      double precision NOT NULL,
    surprise   double precision NOT NULL,
    statistic  double precision NOT NULL,
    observed   double precision NOT NULL,
    expected   double precision NOT NULL,
    band       double precision NOT NULL,
    episode    uuid NOT NULL,
    series_id  integer NOT NULL,
    revision   integer NOT NULL,
    severity   smallint NOT NULL CONSTRAINT severity_is_known CHECK (severity BETWEEN 1 AND 4),
    direction  smallint NOT NULL CONSTRAINT direction_is_known CHECK (direction BETWEEN -1 AND 1),
    late       boolean NOT NULL DEFAULT false,
    state      text NOT NULL CONSTRAINT state_is_known CHECK (state IN ('open', 'over', 'forgotten')),
    detector   text NOT NULL,
    reason     text NOT NULL,
    parameters text NOT NULL,
    CONSTRAINT open_ones_have_no_end CHECK ((state = 'open') = (ended_at IS NULL))
);

SELECT create_hypertable(
    'anomalies', by_range('started_at', INTERVAL '30 days'), create_default_indexes => false
);
CREATE UNIQUE INDEX anomalies_episode ON anomalies (episode, started_at);
CREATE INDEX anomalies_series_id_started_at ON anomalies (series_id, started_at);
CREATE INDEX anomalies_open ON anomalies (series_id) WHERE state = 'open';

COMMENT ON TABLE anomalies IS 'Episodes of series that detectors tell of, from their begin on; view anomalies_named shows the same by name';
COMMENT ON COLUMN anomalies.started_at IS 'Event time of the reading that it began with';
COMMENT ON COLUMN anomalies.peak_at IS 'Event time of its worst reading so far, which the numbers are of';
COMMENT ON COLUMN anomalies.ended_at IS 'Event time of the last reading that surprised; NULL while it is open';
COMMENT ON COLUMN anomalies.score IS 'From 0 to 1: one less how often so much is seen of the series';
COMMENT ON COLUMN anomalies.surprise IS 'The same as minus the decimal logarithm of how often so much is seen';
COMMENT ON COLUMN anomalies.statistic IS 'How far off the detector found it, by its own measure; negative where it was too low';
COMMENT ON COLUMN anomalies.observed IS 'What was observed of the signal that reason names';
COMMENT ON COLUMN anomalies.expected IS 'What was expected of it';
COMMENT ON COLUMN anomalies.band IS 'How far from that is usual';
COMMENT ON COLUMN anomalies.episode IS 'The same wherever the same readings are looked at: made of tenant, source, metric and start';
COMMENT ON COLUMN anomalies.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN anomalies.revision IS 'What was told of it last: 0 its begin, then each rise of its severity, and its end';
COMMENT ON COLUMN anomalies.severity IS '1 low, 2 medium, 3 high, 4 critical; from 3 on it is meant to wake people up';
COMMENT ON COLUMN anomalies.direction IS '1 where it was too high, -1 where it was too low';
COMMENT ON COLUMN anomalies.late IS 'Whether late readings or late corrections fell into it, which detectors have not seen; of an open one, after its start';
COMMENT ON COLUMN anomalies.state IS 'open; over; forgotten, where other detectors took the series over before it ended';
COMMENT ON COLUMN anomalies.detector IS 'The detector that was surprised most';
COMMENT ON COLUMN anomalies.reason IS 'The signal that it looked at: the value, or what is left of it without what is usual at that time of day, over so many readings';
COMMENT ON COLUMN anomalies.parameters IS 'Stands for the detectors and their settings; the same readings give the same episodes where it is the same';
COMMENT ON CONSTRAINT severity_is_known ON anomalies IS 'Low, medium, high, critical';
COMMENT ON CONSTRAINT direction_is_known ON anomalies IS 'Too low, neither, too high';
COMMENT ON CONSTRAINT state_is_known ON anomalies IS 'Open, over or forgotten';
COMMENT ON CONSTRAINT open_ones_have_no_end ON anomalies IS 'An episode has an end as soon as it is not open';
COMMENT ON INDEX anomalies_episode IS 'Each episode once';
COMMENT ON INDEX anomalies_series_id_started_at IS 'A series'' episodes in order of time';
COMMENT ON INDEX anomalies_open IS 'Those that go on';

CREATE VIEW anomalies_named AS
SELECT a.started_at,
       s.tenant,
       s.source,
       s.metric,
       a.severity,
       a.state,
       a.peak_at,
       a.ended_at,
       a.direction,
       a.score,
       a.observed,
       a.expected,
       a.band,
       a.statistic,
       a.detector,
       a.reason,
       a.late,
       a.episode,
       a.revision,
       s.unit,
       s.site,
       s.system
FROM anomalies AS a
JOIN series AS s USING (series_id);

COMMENT ON VIEW anomalies_named IS 'Episodes that detectors tell of, with the names of their series: always bound started_at';
COMMENT ON COLUMN anomalies_named.tenant IS 'Whose series it is';
COMMENT ON COLUMN anomalies_named.source IS 'What is measured: a machine, a sensor, a service';
COMMENT ON COLUMN anomalies_named.metric IS 'Which of its quantities';
COMMENT ON COLUMN anomalies_named.unit IS 'What the values count';
COMMENT ON COLUMN anomalies_named.site IS 'Where the source stands';
COMMENT ON COLUMN anomalies_named.system IS 'The larger thing that the source is a part of';

CREATE TABLE detection (
    topic      text NOT NULL,
    partition  integer NOT NULL,
    parameters text NOT NULL,
    began_at   timestamptz NOT NULL,
    saved_to   timestamptz NOT NULL,
    PRIMARY KEY (topic, partition)
);

COMMENT ON TABLE detection IS 'From when on the readings of a partition are looked at by detectors; none where they are not';
COMMENT ON COLUMN detection.topic IS 'Kafka topic';
COMMENT ON COLUMN detection.partition IS 'Kafka partition';
COMMENT ON COLUMN detection.parameters IS 'Stands for the detectors and their settings: with others everything begins anew';
COMMENT ON COLUMN detection.began_at IS 'Readings from this event time on were looked at, those that were not late; -infinity from the first on';
COMMENT ON COLUMN detection.saved_to IS 'What was released before is in detector_states; the next owner looks at what follows once more';

-- As many bytes of each series; compressing them would cost more than it saves.
CREATE TABLE detector_states (
    series_id integer PRIMARY KEY,
    state     bytea NOT NULL
);
ALTER TABLE detector_states ALTER COLUMN state SET STORAGE PLAIN;

COMMENT ON TABLE detector_states IS 'What detectors remember of series';
COMMENT ON COLUMN detector_states.series_id IS 'The series, a row of table series';
COMMENT ON COLUMN detector_states.state IS 'What is remembered, in an order that detection.parameters stands for';

-- Detectors look once more at what they were not saved of.
DO $$
BEGIN
    EXECUTE 'CREATE OR REPLACE VIEW retention_holds AS ' || rtrim(pg_get_viewdef('retention_holds'::regclass), ';') || $view$
        UNION ALL
        SELECT date_bin('1 day', d.saved_to, 'epoch'),
               format('detectors of %s/%s are saved up to %s', d.topic, d.partition, d.saved_to)
        FROM detection AS d
        WHERE isfinite(d.saved_to)
          AND EXISTS (SELECT FROM series AS s WHERE s.home_topic = d.topic AND s.home_partition = d.partition)
    $view$;
END
$$;

-- What was passed over is not looked at any more, so detectors of both begin anew.
ALTER FUNCTION move_homes(text, text) RENAME TO move_series_and_progress;
CREATE FUNCTION move_homes(old_topic text, new_topic text)
RETURNS bigint
LANGUAGE plpgsql
AS $$
BEGIN
    LOCK TABLE progress IN EXCLUSIVE MODE;
    DELETE FROM detection WHERE topic IN (old_topic, new_topic);
    RETURN move_series_and_progress(old_topic, new_topic);
END
$$;

COMMENT ON FUNCTION move_series_and_progress(text, text) IS 'Does what move_homes does, but for detectors';
COMMENT ON FUNCTION move_homes(text, text) IS 'Give the series of one topic a home on another, which has as many partitions, and have it go on where that one is in event time; detectors begin anew; returns how many series';

-- Workers of the program before would release what detectors have not seen. Their claims ask for it.
ALTER FUNCTION latest_of_series(text, integer) RENAME TO latest_times_of_series;
UPDATE progress SET epoch = epoch + 1;

CREATE VIEW tenant.anomalies WITH (security_barrier) AS
SELECT a.started_at,
       tenant.measured(a.peak_at) AS peak_at,
       tenant.measured(a.ended_at) AS ended_at,
       tenant.measured(a.score) AS score,
       tenant.measured(a.surprise) AS surprise,
       tenant.measured(a.statistic) AS statistic,
       tenant.measured(a.observed) AS observed,
       tenant.measured(a.expected) AS expected,
       tenant.measured(a.band) AS band,
       a.episode,
       a.series_id,
       tenant.measured(a.revision) AS revision,
       tenant.measured(a.severity) AS severity,
       tenant.measured(a.direction) AS direction,
       tenant.measured(a.late) AS late,
       tenant.measured(a.state) AS state,
       tenant.measured(a.detector) AS detector,
       tenant.measured(a.reason) AS reason,
       a.parameters
FROM public.anomalies AS a
JOIN public.series AS s USING (series_id)
WHERE s.tenant = (SELECT r.tenant FROM tenant.reader AS r);

CREATE VIEW tenant.anomalies_named WITH (security_barrier) AS
SELECT a.started_at,
       s.tenant,
       s.source,
       s.metric,
       tenant.measured(a.severity) AS severity,
       tenant.measured(a.state) AS state,
       tenant.measured(a.peak_at) AS peak_at,
       tenant.measured(a.ended_at) AS ended_at,
       tenant.measured(a.direction) AS direction,
       tenant.measured(a.score) AS score,
       tenant.measured(a.observed) AS observed,
       tenant.measured(a.expected) AS expected,
       tenant.measured(a.band) AS band,
       tenant.measured(a.statistic) AS statistic,
       tenant.measured(a.detector) AS detector,
       tenant.measured(a.reason) AS reason,
       tenant.measured(a.late) AS late,
       a.episode,
       tenant.measured(a.revision) AS revision,
       s.unit,
       s.site,
       s.system
FROM public.anomalies AS a
JOIN public.series AS s USING (series_id)
WHERE s.tenant = (SELECT r.tenant FROM tenant.reader AS r);

DO $$
DECLARE
    named record;
BEGIN
    FOR named IN
        SELECT attname, col_description('anomalies'::regclass, t.attnum) AS said
        FROM pg_attribute AS v JOIN pg_attribute AS t USING (attname)
        WHERE v.attrelid = 'anomalies_named'::regclass AND t.attrelid = 'anomalies'::regclass
          AND v.attnum > 0 AND t.attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN anomalies_named.%I IS %L', named.attname, named.said);
    END LOOP;
    FOR named IN
        SELECT c.relname, a.attname, obj_description(c.oid, 'pg_class') AS of_all, col_description(c.oid, a.attnum) AS said
        FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE c.oid IN ('public.anomalies'::regclass, 'public.anomalies_named'::regclass) AND a.attnum > 0
    LOOP
        EXECUTE format('COMMENT ON VIEW tenant.%I IS %L', named.relname, named.of_all || ', of the reader''s tenant');
        EXECUTE format('COMMENT ON COLUMN tenant.%I.%I IS %L', named.relname, named.attname, named.said);
    END LOOP;
END
$$;

GRANT SELECT, INSERT, UPDATE ON anomalies TO streamgauge_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON detection TO streamgauge_writer;
GRANT SELECT, INSERT, DELETE ON detector_states TO streamgauge_writer;
GRANT SELECT ON anomalies, anomalies_named TO streamgauge_reader;
GRANT SELECT ON tenant.anomalies, tenant.anomalies_named TO streamgauge_tenant;
