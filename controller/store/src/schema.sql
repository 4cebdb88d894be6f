-- Rows of a campaign are appended while it runs and never changed, except for the campaign's state, a segment's
-- facts and how long an agent was held. Numbers are BIGINT and names TEXT, so that SQLite and PostgreSQL read the
-- same schema. A column of times in nanoseconds ends in _ns.
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
    prices TEXT NOT NULL,
    -- Controllers that have run the campaign: attempt numbers of a later one are above all earlier ones.
    starts BIGINT NOT NULL DEFAULT 0
);

-- Measured dialogues in plan order, then those used only for warm-up.
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
    -- How long the campaign occupied the machine, measuring or idle: basis of the campaign's own cost.
    held_ns BIGINT NOT NULL DEFAULT 0,
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
    -- The agent claimed more time than passed between offer and end.
    time_impossible BIGINT NOT NULL DEFAULT 0,
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
    reconnected BIGINT,
    outcome TEXT NOT NULL,
    detail TEXT,
    counted BIGINT NOT NULL,
    text TEXT,
    -- Packed token ids (model::output_ids); null where the agent sent none.
    output_ids BYTEA
);

-- A sample counts at most once, whatever agents, network or controller do.
CREATE UNIQUE INDEX sample_counted_once ON sample (campaign, cell, run, sample) WHERE counted = 1;

CREATE TABLE event (
    campaign BIGINT NOT NULL REFERENCES campaign (no),
    -- Order of events; the wall clock may step back.
    no BIGINT NOT NULL,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
);

-- One row for each window of a sampler, on the clock of the segment's samples; cell, run and segment are null while
-- the agent is idle. A null reading could not be measured. Each metric of model::telemetry has a column of its name.
CREATE TABLE telemetry (
    campaign BIGINT NOT NULL REFERENCES campaign (no),
    agent BIGINT NOT NULL,
    cell BIGINT,
    run BIGINT,
    segment BIGINT,
    phase TEXT NOT NULL,
    start_ns BIGINT NOT NULL,
    end_ns BIGINT NOT NULL,
    process_cpu_ns DOUBLE PRECISION,
    process_rss_bytes DOUBLE PRECISION,
    process_pss_bytes DOUBLE PRECISION,
    process_swap_bytes DOUBLE PRECISION,
    process_minor_faults DOUBLE PRECISION,
    process_major_faults DOUBLE PRECISION,
    process_voluntary_switches DOUBLE PRECISION,
    process_involuntary_switches DOUBLE PRECISION,
    process_open_files DOUBLE PRECISION,
    process_threads DOUBLE PRECISION,
    sampler_cpu_ns DOUBLE PRECISION,
    host_cpu_busy_ns DOUBLE PRECISION,
    host_cpu_steal_ns DOUBLE PRECISION,
    host_cpu_total_ns DOUBLE PRECISION,
    host_runnable_tasks DOUBLE PRECISION,
    host_cpu_mhz DOUBLE PRECISION,
    host_memory_available_bytes DOUBLE PRECISION,
    host_swap_used_bytes DOUBLE PRECISION,
    host_temperature_celsius DOUBLE PRECISION,
    host_thermal_throttles DOUBLE PRECISION,
    host_cpu_pressure_ns DOUBLE PRECISION,
    cgroup_throttled_ns DOUBLE PRECISION,
    cgroup_throttled_periods DOUBLE PRECISION,
    cpu_energy_joules DOUBLE PRECISION,
    gpu_utilization_pct DOUBLE PRECISION,
    gpu_memory_utilization_pct DOUBLE PRECISION,
    gpu_memory_used_bytes DOUBLE PRECISION,
    gpu_process_memory_bytes DOUBLE PRECISION,
    gpu_other_processes DOUBLE PRECISION,
    gpu_temperature_celsius DOUBLE PRECISION,
    gpu_power_watts DOUBLE PRECISION,
    gpu_power_limit_watts DOUBLE PRECISION,
    gpu_sm_mhz DOUBLE PRECISION,
    gpu_memory_mhz DOUBLE PRECISION,
    gpu_throttle_reasons DOUBLE PRECISION,
    gpu_power_violation_ns DOUBLE PRECISION,
    gpu_thermal_violation_ns DOUBLE PRECISION,
    gpu_energy_joules DOUBLE PRECISION,
    gpu_ecc_corrected DOUBLE PRECISION,
    gpu_ecc_uncorrected DOUBLE PRECISION,
    gpu_xid DOUBLE PRECISION,
    gpu_pcie_received_kb_per_s DOUBLE PRECISION,
    gpu_pcie_sent_kb_per_s DOUBLE PRECISION,
    gpu_pcie_replays DOUBLE PRECISION
);

CREATE INDEX telemetry_in_order ON telemetry (campaign, cell, run, segment, agent, start_ns);

-- Windows of a sustained load; `batch` is the window's number in its run. Times in `figures` are of the agent's
-- monotonic clock.
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

-- Tokens issued to agents, as SHA-256 only, and revocations. A certificate has a row once its name is revoked, with
-- an empty hash.
CREATE TABLE credential (
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    issued_at TEXT NOT NULL,
    revoked_at TEXT,
    PRIMARY KEY (name, kind, sha256)
);
