//! Child processes that must succeed.

use crate::root;
use anyhow::{Context, ensure};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

/// A command in the root of the repository.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

pub(crate) fn cargo() -> Command {
    command(env!("CARGO"))
}

/// The folder with the built programs: `FLEETMARK_PROGRAMS`, or that of the release build.
#[expect(clippy::disallowed_methods, reason = "tasks read the environment where they need it")]
pub(crate) fn programs() -> PathBuf {
    root().join(std::env::var_os("FLEETMARK_PROGRAMS").unwrap_or_else(|| "target/release".into()))
}

pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("`{name}` can't be started"))?;
    ensure!(status.success(), "`{name}` ended with {status}");
    Ok(())
}

/// Standard output of a command.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.with_context(|| format!("`{name}` can't be started"))?;
    ensure!(output.status.success(), "`{name}` ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("`{name}` printed invalid UTF-8"))
}

/// Runs a Bash script of the repository.
pub(crate) fn script(path: &str, arguments: &[String]) -> anyhow::Result<()> {
    run(command("bash").arg(path).args(arguments))
}
