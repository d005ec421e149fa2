"""Holds the stored sketches of every level to the readings that they are made of.

Of days whose readings may be dropped, those of a level are held to the level below.
"""

from __future__ import annotations

from datetime import timedelta

from jobs.verify.snapshot import Connection

DAY = timedelta(days=1)

_DAYS = """
    SELECT DISTINCT date_bin('1 day', bucket, 'epoch') FROM rollup_sketches
    UNION SELECT DISTINCT date_bin('1 day', ts, 'epoch') FROM readings WHERE EXISTS (SELECT FROM sketch_marks)
    ORDER BY 1
"""
_LEVELS = "SELECT name, width_s, below_s FROM sketch_levels ORDER BY width_s"
# The level below may be younger than the readings that were dropped.
_COMPARE = """
    INSERT INTO faults
    WITH asked AS (
        SELECT m.series_id, m.sketched_to, %(day)s >= readings_kept_from(m.series_id) AS is_kept
        FROM sketch_marks AS m JOIN series AS s USING (series_id)
        WHERE s.home_topic = %(topic)s AND m.width_s = %(width_s)s
    ), stored AS (
        SELECT a.series_id, a.is_kept, k.bucket, k.keys, k.counts
        FROM asked AS a JOIN rollup_sketches AS k USING (series_id)
        WHERE k.width_s = %(width_s)s AND k.bucket >= %(day)s AND k.bucket < %(end)s
    ), made AS (
        SELECT a.series_id, m.bucket, m.keys, m.counts
        FROM asked AS a
        CROSS JOIN LATERAL sketched(
            a.series_id, %(width_s)s, CASE WHEN NOT a.is_kept THEN %(below_s)s::int END,
            %(day)s, least(%(end)s, a.sketched_to)
        ) AS m
        WHERE a.is_kept OR %(below_s)s::int IS NOT NULL
    )
    SELECT 'misrolled', series_id, bucket, %(said)s
    FROM stored FULL JOIN made USING (series_id, bucket)
    WHERE (made.keys, made.counts) IS DISTINCT FROM (stored.keys, stored.counts)
      AND (made.keys IS NOT NULL OR stored.is_kept)
      AND NOT EXISTS (
          SELECT FROM dirty_buckets AS d
          WHERE d.width_s = 0 AND d.series_id = coalesce(stored.series_id, made.series_id)
            AND d.bucket < coalesce(stored.bucket, made.bucket) + make_interval(secs => %(width_s)s)
            AND d.bucket + INTERVAL '1 minute' > coalesce(stored.bucket, made.bucket)
      )
"""


def compare_sketches(session: Connection, topic: str) -> None:
    """Note the stored sketches that are not what the readings make, unless these are marked as late.

    Both are made by the database: another logarithm may take a value at the edge of a range for the next.
    """
    levels = session.execute(_LEVELS).fetchall()
    for (day,) in session.execute(_DAYS).fetchall():
        for name, width_s, below_s in levels:
            asked = {"topic": topic, "day": day, "end": day + DAY, "width_s": width_s, "below_s": below_s}
            said = f"quantiles of a bucket of {name} are not what its readings, or narrower buckets, make"
            session.execute(_COMPARE, {**asked, "said": said})
