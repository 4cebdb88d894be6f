//! An archive for a machine with a GPU: the agent, this program, and a script that runs the checks.

use crate::process::{self, command, programs};
use crate::root;
use anyhow::{Context, ensure};
use std::fs;

const FOLDER: &str = "target/gpu-check";
const ARCHIVE: &str = "target/gpu-check.tar.gz";

const MOST_BYTES: u64 = 64 << 20;

const SCRIPT: &str = r#"#!/bin/sh
# Everything in at most 8 minutes of a GPU; the result is gpu-check.json. Needs NVIDIA's driver alone.
# A comparison with PyTorch is added where python3 has it, NVIDIA's checks where compute-sanitizer is.
cd "$(dirname "$0")" && exec timeout 480 ./xtask gpu-check --agent ./agent "$@"
"#;

/// The archive's size.
fn pack() -> anyhow::Result<u64> {
    let folder = root().join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {FOLDER}"))?;
    for name in ["agent", "xtask"] {
        let program = programs().join(name);
        let to = folder.join(name);
        fs::copy(&program, &to).with_context(|| {
            format!("no {}: cargo build --release --workspace", program.display())
        })?;
        process::run(command("strip").arg(&to))?;
    }
    let script = folder.join("run.sh");
    fs::write(&script, SCRIPT)?;
    process::run(command("chmod").arg("+x").arg(&script))?;
    process::run(command("tar").args(["-czf", ARCHIVE, "-C", "target", "gpu-check"]))?;
    Ok(fs::metadata(root().join(ARCHIVE))?.len())
}

pub(super) fn run() -> anyhow::Result<()> {
    let bytes = pack()?;
    ensure!(bytes <= MOST_BYTES, "{ARCHIVE} has {bytes} bytes: at most {MOST_BYTES} are expected");
    println!("{ARCHIVE}: {} MiB. On the machine with the GPU:", bytes.div_ceil(1 << 20));
    println!("tar -xzf gpu-check.tar.gz && ./gpu-check/run.sh");
    Ok(())
}
