-- Append-only: rows of a campaign are added while it runs and never changed, but for a campaign's state and
-- a segment's facts. Numbers are BIGINT and names TEXT, so that SQLite and PostgreSQL read the same schema.
CREATE TABLE campaign (
    no BIGINT PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at TEXT NOT NULL,
    finished_at TEXT,
    state TEXT NOT NULL,
    controller_version TEXT NOT NULL,
    matrix_text TEXT NOT NULL,
    matrix TEXT NOT NULL,
    plan TEXT NOT NULL,
    dataset TEXT NOT NULL,
    prices TEXT NOT NULL
);

-- The measured dialogues in the order of the plan, then those that only warm up.
CREATE TABLE dialogue (
    campaign BIGINT NOT NULL REFERENCES campaign (no),
    ordinal BIGINT NOT NULL,
    sample_id TEXT NOT NULL,
    dialogue TEXT NOT NULL,
    summary TEXT,
    is_measured BIGINT NOT NULL,
    PRIMARY KEY (campaign, ordinal)
);

CREATE TABLE agent (
    campaign BIGINT NOT NULL REFERENCES campaign (no),
    ordinal BIGINT NOT NULL,
    agent_id TEXT NOT NULL,
    host_id TEXT NOT NULL,
    target BIGINT NOT NULL,
    joined_at TEXT NOT NULL,
    facts TEXT NOT NULL,
    engines TEXT NOT NULL,
    PRIMARY KEY (campaign, ordinal)
);

CREATE TABLE segment (
    campaign BIGINT NOT NULL REFERENCES campaign (no),
    cell BIGINT NOT NULL,
    run BIGINT NOT NULL,
    segment BIGINT NOT NULL,
    agent BIGINT NOT NULL,
    started_at TEXT NOT NULL,
    facts TEXT,
    PRIMARY KEY (campaign, cell, run, segment)
);

CREATE TABLE sample (
    campaign BIGINT NOT NULL REFERENCES campaign (no),
    cell BIGINT NOT NULL,
    run BIGINT NOT NULL,
    sample BIGINT NOT NULL,
    segment BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    agent BIGINT NOT NULL,
    batch BIGINT NOT NULL,
    start_ns BIGINT NOT NULL,
    ttft_ns BIGINT,
    latency_ns BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cut_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    unknown_tokens BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT,
    counted BIGINT NOT NULL,
    text TEXT
);

-- No sample is counted twice, whatever agents, network or controller do.
CREATE UNIQUE INDEX sample_counted_once ON sample (campaign, cell, run, sample) WHERE counted = 1;

CREATE TABLE event (
    campaign BIGINT NOT NULL REFERENCES campaign (no),
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
);
