-- What people said of episodes: whether they were worth telling of.

CREATE TABLE anomaly_labels (
    labelled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    started_at  timestamptz NOT NULL,
    episode     uuid NOT NULL,
    worth_it    boolean NOT NULL,
    labelled_by text NOT NULL,
    PRIMARY KEY (episode, labelled_at)
);

COMMENT ON TABLE anomaly_labels IS 'What people said of episodes; the latest word of an episode counts, and the earlier ones stay';
COMMENT ON COLUMN anomaly_labels.labelled_at IS 'When it was said';
COMMENT ON COLUMN anomaly_labels.started_at IS 'When the episode began, by which table anomalies finds it';
COMMENT ON COLUMN anomaly_labels.episode IS 'The episode, a row of table anomalies';
COMMENT ON COLUMN anomaly_labels.worth_it IS 'Whether it was worth telling of: true or false alarm';
COMMENT ON COLUMN anomaly_labels.labelled_by IS 'Who said it';

GRANT SELECT, INSERT ON anomaly_labels TO streamgauge_writer;
