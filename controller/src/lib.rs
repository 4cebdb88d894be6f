//! The controller: plans a campaign, runs it on agents, and turns the samples into costs and verdicts.
//!
//! The modules stand in the order in which the data flows; a stage knows only what stands before it.

#![forbid(unsafe_code)]

pub mod clock;
pub mod matrix;
pub mod plan;
pub mod scheduler;
pub mod fleet;
pub mod store;
pub mod statistics;
pub mod cost;
