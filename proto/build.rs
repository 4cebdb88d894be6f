//! Compiles the .proto files with protox, so that no protoc is needed.

#![expect(
    clippy::disallowed_methods,
    reason = "a build script is told by its environment where to write"
)]

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = protox::compile(["fleetmark/v1/fleet.proto"], ["proto"])?;
    // Who asks the controller what it speaks is told from this.
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    std::fs::write(out.join("fleet.bin"), files.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(files)?;
    Ok(())
}
