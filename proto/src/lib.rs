//! The contract between controller and agent, and the only crate that both know.
//!
//! Wire types are generated from `proto/fleetmark/v1/fleet.proto` and live in [`wire`]; they stay at the two
//! gRPC edges. Everything further in works on the checked types of the other modules, which are made from
//! wire types by `TryFrom` and hold what the wire can't promise: names without control characters, times that
//! add up, known dtypes.

#![forbid(unsafe_code)]

pub mod door;
pub mod endpoint;
pub mod failure;
pub mod finding;
pub mod generation;
pub mod histogram;
pub mod ids;
pub mod load;
pub mod model;
pub mod output_ids;
pub mod sample;
pub mod telemetry;
pub mod text;
pub mod version;
pub mod wire;

/// The largest message that an agent sends and the controller takes, in bytes: a batch of 256 samples with the
/// longest texts and as many ids.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// The largest message that an agent takes, in bytes. A shard of ten thousand long dialogues is about 20 MB.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
