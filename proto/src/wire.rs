//! Generated wire types of `fleetmark.v1`. They don't live past the gRPC edges.

#![expect(clippy::allow_attributes, reason = "the generated code brings its own allow attributes")]
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code; its documentation is the .proto file"
)]

tonic::include_proto!("fleetmark.v1");

/// What the protocol is, as a `FileDescriptorSet`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fleet.bin"));
