//! Samples become estimates with intervals, comparisons and verdicts.
//!
//! In comes what the store gave back; out go figures that carry their n, their 95 % interval and, where
//! the data cannot carry a claim, the reason. Nothing here knows of prices, reports, clocks or files, and
//! randomness is seeded and passed in. Formulas and sources: docs/statistics.md.

#![forbid(unsafe_code)]

pub mod arrivals;
pub mod cell;
pub mod clock;
pub mod comparison;
pub mod distribution;
pub mod drift;
pub mod estimate;
pub mod http_timing;
pub mod interval;
pub mod layout;
pub mod lengths;
pub mod limitation;
pub mod loadgen;
mod measured_cell;
pub mod observation;
mod packed;
pub mod phases;
pub mod precision;
pub mod quality;
pub mod quantile;
pub mod search;
pub mod serial;
pub mod slo;
pub mod stream_timing;
pub mod stress;
pub mod telemetry;
pub mod threshold;
pub mod throughput;
pub mod tokens;
pub mod validity;
pub mod variance;
pub mod within;

pub use cell::{CellStatistics, summarize};
pub use estimate::Estimate;
pub use limitation::Limitation;
pub use measured_cell::Cell;
pub use observation::{Observation, Scenario};
