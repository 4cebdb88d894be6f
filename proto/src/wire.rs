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

#[cfg(test)]
mod tests {
    use model::version::PROTOCOL;

    /// A change of this snapshot changes the version as well, which is its first line.
    #[test]
    fn the_messages_are_those_of_the_protocol_version() {
        let text = include_str!("../proto/fleetmark/v1/fleet.proto");
        let without_comment = |line: &str| line.split("//").next().unwrap_or("").trim().to_owned();
        let lines: Vec<String> =
            text.lines().map(without_comment).filter(|line| !line.is_empty()).collect();
        insta::assert_snapshot!("protocol", format!("protocol {PROTOCOL}\n{}", lines.join("\n")));
    }
}
