-- Detectors and what is read back are the same whatever came late, and tenants see no trace of others' anomalies.

-- Repeats of a reading that came late under higher revisions were taken for late corrections: where all versions
-- are late the first of these has the value that was released.
CREATE OR REPLACE FUNCTION unreleased_readings(
    of_topic text, of_partition integer, from_ts timestamptz, to_ts timestamptz, most integer
)
RETURNS TABLE (series_id integer, ts timestamptz, value double precision, quality smallint)
LANGUAGE sql STABLE
AS $$
    WITH seen AS (
        SELECT DISTINCT ON (v.series_id, v.ts) v.series_id, v.ts, v.value, v.quality
        FROM reading_versions AS missed
        JOIN reading_versions AS v USING (series_id, ts)
        WHERE missed.late AND missed.ts >= from_ts AND missed.ts < to_ts
        ORDER BY v.series_id, v.ts, v.late, CASE WHEN v.late THEN v.revision ELSE -v.revision END
    )
    SELECT s.series_id, r.ts, coalesce(seen.value, r.value), coalesce(seen.quality, r.quality)
    FROM series AS s
    CROSS JOIN LATERAL (
        SELECT ts, value, quality FROM readings
        WHERE series_id = s.series_id AND ts >= from_ts AND ts < to_ts AND NOT late
    ) AS r
    LEFT JOIN seen ON seen.series_id = s.series_id AND seen.ts = r.ts
    WHERE s.home_topic = of_topic AND s.home_partition = of_partition
    ORDER BY r.ts
    LIMIT most
$$;

-- In the order in which a flush locks: rows of detection, then those of progress. What was stored in between goes as well.
CREATE OR REPLACE FUNCTION move_homes(old_topic text, new_topic text)
RETURNS bigint
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM detection WHERE topic IN (old_topic, new_topic);
    LOCK TABLE progress IN EXCLUSIVE MODE;
    DELETE FROM detection WHERE topic IN (old_topic, new_topic);
    RETURN move_series_and_progress(old_topic, new_topic);
END
$$;

-- That there is a row is what was measured here: whoever asks for a time, a series or an episode is not to learn from a
-- plan that others have one.
CREATE OR REPLACE VIEW tenant.anomalies WITH (security_barrier) AS
SELECT tenant.measured(a.started_at) AS started_at,
       tenant.measured(a.peak_at) AS peak_at,
       tenant.measured(a.ended_at) AS ended_at,
       tenant.measured(a.score) AS score,
       tenant.measured(a.surprise) AS surprise,
       tenant.measured(a.statistic) AS statistic,
       tenant.measured(a.observed) AS observed,
       tenant.measured(a.expected) AS expected,
       tenant.measured(a.band) AS band,
       tenant.measured(a.episode) AS episode,
       tenant.measured(a.series_id) AS series_id,
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

CREATE OR REPLACE VIEW tenant.anomalies_named WITH (security_barrier) AS
SELECT tenant.measured(a.started_at) AS started_at,
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
       tenant.measured(a.episode) AS episode,
       tenant.measured(a.revision) AS revision,
       s.unit,
       s.site,
       s.system
FROM public.anomalies AS a
JOIN public.series AS s USING (series_id)
WHERE s.tenant = (SELECT r.tenant FROM tenant.reader AS r);

-- All rows of a partition are replaced again and again.
ALTER TABLE detector_states SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.02);
