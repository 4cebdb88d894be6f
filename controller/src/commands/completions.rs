//! `controller completions`: the script that completes the command line in a shell.

use crate::cli::{self, Cli};
use anyhow::Context;
use clap::CommandFactory;
use ops::terminal;

pub(super) fn run(options: &cli::Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "controller", &mut script);
    terminal::result(&String::from_utf8(script).context("the script is not UTF-8")?)?;
    Ok(())
}
