//! The agent's binary.

use agent::commands::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    ops::program::main(|cli: &Cli| cli.log, commands::run)
}
