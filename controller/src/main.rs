//! The controller's binary: a command line in, an exit code out.

use controller::cli::Cli;
use controller::commands;
use std::process::ExitCode;

// For SQLite, too, by its feature `override`: values of rows are made in one thread and freed in another, where glibc's
// own has both wait for each other (docs/scale.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ops::program::main(|cli: &Cli| cli.log, commands::run)
}
