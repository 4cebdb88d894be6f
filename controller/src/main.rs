//! The controller's binary: a command line in, an exit code out.

use clap::Parser;
use controller::cli::Cli;
use controller::commands::{self, Exit};
use controller::terminal;
use ops::logs;
use std::process::ExitCode;

// For SQLite, too, by its feature `override`: values of rows are made in one thread and freed in another, where glibc's
// own has both wait for each other (docs/scale.md).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| terminal::bug(&panic.to_string())));
    let exit = std::panic::catch_unwind(run).unwrap_or(Exit::Bug);
    ExitCode::from(exit as u8)
}

fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            terminal::usage(&message);
            return if message.use_stderr() { Exit::Wrong } else { Exit::Ok };
        }
    };
    logs::start(cli.log.log_format, cli.log.log_level, terminal::for_logs());
    match commands::run(cli) {
        Ok(exit) => exit,
        Err(error) => {
            terminal::error(&error);
            Exit::Wrong
        }
    }
}
