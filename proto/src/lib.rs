//! The wire format between controller and agent: types generated from
//! `proto/fleetmark/v1/fleet.proto`, and their conversions to and from the checked types of `model`.
//! Wire types stay at the two gRPC edges.

#![forbid(unsafe_code)]

pub mod codec;
mod convert;
mod decoded_size;
pub mod plaintext_rejection;
pub mod wire;

pub use convert::SampleError;

/// The largest message from an agent, in bytes: a batch of 256 samples with the longest texts and as
/// many ids.
pub const MAX_BATCH_BYTES: usize = 8 << 20;

/// The largest message to an agent, in bytes. A shard of ten thousand long dialogues has about 20 MB.
pub const MAX_MESSAGE_BYTES: usize = 64 << 20;
