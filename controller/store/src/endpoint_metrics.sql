-- What an endpoint's server reports about itself (agent/src/server_metrics.rs); null for loaded models.
ALTER TABLE telemetry ADD COLUMN endpoint_running_requests DOUBLE PRECISION;
ALTER TABLE telemetry ADD COLUMN endpoint_waiting_requests DOUBLE PRECISION;
ALTER TABLE telemetry ADD COLUMN endpoint_cache_used_pct DOUBLE PRECISION;
