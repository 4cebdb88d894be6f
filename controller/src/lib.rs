//! The controller: plans a campaign, runs it on agents, and turns the samples into costs and verdicts.
//!
//! Connects the crates of the stages, which are in this folder.

#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod doctor;
pub mod metrics;
pub mod progress;
