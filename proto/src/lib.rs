//! The wire format between controller and agent: types generated from `proto/fleetmark/v1/fleet.proto` in [`wire`],
//! and their conversions to and from the checked types of `model`. Wire types stay at the two gRPC edges.

#![forbid(unsafe_code)]

mod convert;
pub mod door;
pub mod wire;

pub use convert::SampleError;

pub use ::model::{
    endpoint, failure, finding, generation, histogram, ids, load, output_ids, sample, telemetry,
    text, version,
};

/// As before the domain types became a crate of their own.
pub mod model {
    pub use ::model::engine::{AdapterMode, Dtype, EngineFacts, EngineSpec};
    pub use ::model::load::Scenario;
    pub use ::model::words::Unknown;
}

/// The largest message that an agent sends and the controller takes, in bytes: a batch of 256 samples with the
/// longest texts and as many ids.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// The largest message that an agent takes, in bytes. A shard of ten thousand long dialogues is about 20 MB.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
