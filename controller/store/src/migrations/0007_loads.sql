-- How late a request stood in the queue; null in closed loop.
ALTER TABLE sample ADD COLUMN schedule_delay_ns BIGINT;

-- What happened in each window of a sustained load; `batch` is its number in the run. Times in `figures` are of its
-- agent's monotonic clock.
CREATE TABLE load_window (
    campaign BIGINT NOT NULL REFERENCES campaign (no),
    cell BIGINT NOT NULL,
    run BIGINT NOT NULL,
    batch BIGINT NOT NULL,
    segment BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    agent BIGINT NOT NULL,
    counted BIGINT NOT NULL,
    figures TEXT NOT NULL
);

CREATE UNIQUE INDEX load_window_counted_once ON load_window (campaign, cell, run, batch) WHERE counted = 1;
