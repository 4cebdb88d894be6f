//! The controller: plans a campaign, runs it on agents, and turns the samples into costs and verdicts.
//!
//! Each stage is a crate in this folder; here they are joined.

#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod doctor;
pub mod metrics;
pub mod progress;
