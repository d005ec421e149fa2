-- Derived metrics: a definition that was replaced is told from the one that replaced it, and no move is missed.

ALTER TABLE derived_metrics ADD COLUMN defined integer NOT NULL DEFAULT 0;

COMMENT ON COLUMN derived_metrics.defined IS 'How often it was defined or removed: whoever computes it finds that it has another definition by now';
COMMENT ON COLUMN derived_metrics.trouble IS 'Why it, or a part of it, is not computed; NULL where all of it is';
COMMENT ON COLUMN derived_state.trouble IS 'Why it, or a part of it, is not computed; NULL where all of it is';
COMMENT ON COLUMN tenant.derived_state.trouble IS 'Why it, or a part of it, is not computed; NULL where all of it is';

-- Who moves something cannot see what is computed before the move is seen: so it is marked whatever is computed.
CREATE OR REPLACE FUNCTION mark_derived_of_tenant(of_tenant text, from_time timestamptz, of_metrics text[] DEFAULT NULL)
RETURNS void
LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO derived_marks (derived_id, bucket, onward)
    SELECT d.derived_id, from_time, true FROM derived_metrics AS d
    WHERE d.tenant = of_tenant AND d.removed_at IS NULL
      AND (d.per <> 'source' OR d.node <> '{}') AND (of_metrics IS NULL OR d.inputs && of_metrics);
END;
