//! The agent's binary: a command line in, an exit code out.

use agent::cli::Cli;
use agent::commands;
use std::process::ExitCode;

fn main() -> ExitCode {
    ops::program::main(|cli: &Cli| cli.log, commands::run)
}
