//! The agent: runs leased shards of T5 inference on one machine and streams every sample to the controller.

pub mod cli;
pub mod commands;
pub mod doctor;
pub mod engine;
pub mod host;
pub mod metrics;
pub mod model_source;
pub mod origin;
pub mod runner;
pub mod serve;
pub mod service;
pub mod stopwatch;
pub mod telemetry;
pub mod workload;
