//! Domain types of the agent and the controller. Pure: no I/O, no network.
//!
//! A value from another program is checked once, where it enters: ids have no characters that change
//! what is shown around them, the times of a sample are consistent, dtypes are known. From there on it is trusted.

#![forbid(unsafe_code)]

pub mod chunk_gaps;
pub mod endpoint;
pub mod engine;
pub mod failure;
pub mod finding;
pub mod generation;
pub mod histogram;
pub mod host;
pub mod ids;
pub mod load;
pub mod output_ids;
mod packed_numbers;
pub mod panic;
pub mod rate_profile;
pub mod recorded_arrivals;
pub mod s3_address;
pub mod sample;
pub mod segment;
pub mod shard_digest;
pub mod telemetry;
pub mod text;
pub mod unsupported_generation;
pub mod version;
pub mod words;
