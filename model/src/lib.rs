//! The domain types that agent and controller share. Pure: no input or output, no network.
//!
//! A value that came from elsewhere is checked once, where it enters, and trusted from there on: ids hold no control
//! characters, the times of a sample add up, dtypes are known.

#![forbid(unsafe_code)]

pub mod endpoint;
pub mod engine;
pub mod failure;
pub mod finding;
pub mod generation;
pub mod histogram;
pub mod ids;
pub mod load;
pub mod output_ids;
pub mod sample;
pub mod telemetry;
pub mod text;
pub mod version;
pub mod words;
