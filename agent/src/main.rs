//! The agent's binary: a command line in, an exit code out.

use agent::cli::Cli;
use agent::{commands, terminal};
use clap::Parser;
use ops::logs;
use std::process::ExitCode;

/// What a user can mend.
const USER_ERROR: u8 = 2;
/// What only we can.
const BUG: u8 = 70;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|panic| terminal::bug(&panic.to_string())));
    std::panic::catch_unwind(run).unwrap_or(ExitCode::from(BUG))
}

fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(message) => {
            terminal::usage(&message);
            return ExitCode::from(if message.use_stderr() { USER_ERROR } else { 0 });
        }
    };
    logs::start(cli.log.log_format, cli.log.log_level, terminal::for_logs());
    match commands::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::error(&error);
            ExitCode::from(USER_ERROR)
        }
    }
}
