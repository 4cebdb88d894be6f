//! Child processes that must succeed.

use crate::root;
use anyhow::{Context, ensure};
use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A command in the root of the repository.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    command
}

pub(crate) fn cargo() -> Command {
    command(env!("CARGO"))
}

/// The folder of the built programs: `FLEETMARK_PROGRAMS`, or that of the release build.
#[expect(clippy::disallowed_methods, reason = "tasks read the environment where they need it")]
pub(crate) fn programs() -> PathBuf {
    root().join(std::env::var_os("FLEETMARK_PROGRAMS").unwrap_or_else(|| "target/release".into()))
}

pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    start(command)?.finish()
}

/// Standard output of a command.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let mut text = String::new();
    lines(command, |line| text.extend([line, "\n"]))?;
    Ok(text)
}

/// Runs a command and passes each line of its standard output to `each` as it is printed.
pub(crate) fn lines(command: &mut Command, mut each: impl FnMut(&str)) -> anyhow::Result<()> {
    let mut running = start(command.stdout(Stdio::piped()))?;
    let out = running.child.stdout.take().context("standard output is piped")?;
    for line in BufReader::new(out).lines() {
        each(&line.with_context(|| format!("`{}` printed invalid UTF-8", running.name))?);
    }
    running.finish()
}

struct Running {
    name: String,
    child: Child,
}

fn start(command: &mut Command) -> anyhow::Result<Running> {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.spawn().with_context(|| format!("failed to start `{name}`"))?;
    Ok(Running { name, child })
}

impl Running {
    fn finish(mut self) -> anyhow::Result<()> {
        let status = self.child.wait()?;
        ensure!(status.success(), "`{}` failed: {status}", self.name);
        Ok(())
    }
}

/// Runs a Bash script of the repository.
pub(crate) fn script(path: &str) -> anyhow::Result<()> {
    run(command("bash").arg(path))
}
