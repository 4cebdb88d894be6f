-- Endpoints don't always say how many tokens there were, and a request to them has times of its own. SQLite lets a
-- column become nullable only where the table is made anew.
CREATE TABLE sample_with_exchanges (
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
    input_tokens BIGINT,
    cut_tokens BIGINT NOT NULL,
    output_tokens BIGINT,
    unknown_tokens BIGINT NOT NULL,
    reference_tokens BIGINT,
    schedule_delay_ns BIGINT,
    exchange_ns BIGINT,
    connect_ns BIGINT,
    first_byte_ns BIGINT,
    server_ns BIGINT,
    outcome TEXT NOT NULL,
    detail TEXT,
    counted BIGINT NOT NULL,
    text TEXT
);

INSERT INTO sample_with_exchanges (campaign, cell, run, sample, segment, attempt, agent, batch, start_ns, ttft_ns,
    latency_ns, input_tokens, cut_tokens, output_tokens, unknown_tokens, reference_tokens, schedule_delay_ns, outcome,
    detail, counted, text)
SELECT campaign, cell, run, sample, segment, attempt, agent, batch, start_ns, ttft_ns,
    latency_ns, input_tokens, cut_tokens, output_tokens, unknown_tokens, reference_tokens, schedule_delay_ns, outcome,
    detail, counted, text
FROM sample;

DROP TABLE sample;

ALTER TABLE sample_with_exchanges RENAME TO sample;

CREATE UNIQUE INDEX sample_counted_once ON sample (campaign, cell, run, sample) WHERE counted = 1;
