-- Input that could not be stored as readings, and why.

CREATE TABLE dead_letters (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT now(),
    topic         text NOT NULL,
    partition     integer NOT NULL,
    "offset"      bigint NOT NULL,
    index         integer NOT NULL,
    reason        text NOT NULL,
    detail        text NOT NULL,
    payload       bytea NOT NULL,
    payload_bytes integer NOT NULL
);

COMMENT ON TABLE dead_letters IS 'Records and readings that were refused, stored in the same transaction as their neighbours'' readings';
COMMENT ON COLUMN dead_letters.id IS 'Number of the dead letter, for: streamgauge dead-letters show';
COMMENT ON COLUMN dead_letters.at IS 'When it was stored';
COMMENT ON COLUMN dead_letters.topic IS 'Kafka topic of the record';
COMMENT ON COLUMN dead_letters.partition IS 'Kafka partition of the record';
COMMENT ON COLUMN dead_letters."offset" IS 'Kafka offset of the record';
COMMENT ON COLUMN dead_letters.index IS 'Position of the reading inside its record; -1 for the record as a whole';
COMMENT ON COLUMN dead_letters.reason IS 'Why it was refused, one of a fixed list of words';
COMMENT ON COLUMN dead_letters.detail IS 'The same as a sentence about this very record';
COMMENT ON COLUMN dead_letters.payload IS 'The record as it arrived, or the reading as JSON; cut where it is long';
COMMENT ON COLUMN dead_letters.payload_bytes IS 'How long the payload was before it was cut';

GRANT SELECT, INSERT ON dead_letters TO streamgauge_writer;
