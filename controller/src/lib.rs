//! The controller: plans a campaign, runs it on agents, and turns the samples into costs and verdicts.
//!
//! The modules stand in the order in which the data flows; a stage knows only what stands before it.

#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;

pub mod matrix;
pub mod dataset;
pub mod plan;
pub mod scheduler;
pub mod store;
pub mod fleet;
pub mod statistics;
pub mod cost;
pub mod price_api;
pub mod simulation;
pub mod report;
pub mod artifacts;
pub mod notify;
pub mod live;
pub mod launch;
pub mod doctor;

pub mod clock;
pub mod config;
pub mod metrics;
pub mod progress;
pub mod terminal;
pub mod whole_file;
