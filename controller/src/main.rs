//! The controller's binary: command line -> exit code.

use controller::{cli::Cli, commands};
use std::process::ExitCode;

// Also for SQLite, by the feature `override`. Values of rows are allocated in one thread and freed
// in another, where glibc's allocator has lock contention (docs/scale.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ops::program::main(|cli: &Cli| cli.log, commands::run)
}
