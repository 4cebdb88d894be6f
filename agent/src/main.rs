//! The agent's binary.

use agent::cli::Cli;
use agent::commands;
use std::process::ExitCode;

fn main() -> ExitCode {
    ops::program::main(|cli: &Cli| cli.log, commands::run)
}
