//! The frame of both programs: a command line in, an exit code out.

use crate::{descriptors, logs, terminal};
use clap::Parser;
use std::panic::catch_unwind;
use std::process::ExitCode;

/// The exit codes of both programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Ok = 0,
    /// The command ran, and its finding is negative: a threshold failed, or `doctor` found that something that was
    /// asked for is impossible.
    Failed = 1,
    /// The command couldn't do its work, and the user can fix that: wrong input, a full disk, no connection.
    UserError = 2,
    /// A campaign ended without all of its samples.
    Incomplete = 3,
    /// The command ran, and the data doesn't decide what was asked.
    Undecided = 4,
    /// A panic.
    Bug = 70,
}

/// Parses the command line, starts the log, runs the command, and prints what failed: an error of `run` is one that
/// the user can fix.
pub fn main<C: Parser>(
    log: fn(&C) -> logs::Options,
    run: fn(C) -> anyhow::Result<Exit>,
) -> ExitCode {
    std::panic::set_hook(Box::new(|panic| {
        if model::panic::is_contained() {
            return;
        }
        let command = C::command();
        terminal::note(&format!("error: this is a bug in {}: {panic}", command.get_name()));
    }));
    let command = || {
        let command_line = match C::try_parse() {
            Ok(command_line) => command_line,
            Err(message) if message.use_stderr() => {
                terminal::note(message.render().to_string().trim_end());
                return Ok(Exit::UserError);
            }
            // `--help` and `--version`.
            Err(message) => {
                terminal::result(&message.render().to_string())?;
                return Ok(Exit::Ok);
            }
        };
        logs::start(log(&command_line));
        descriptors::raise_limit();
        run(command_line)
    };
    let exit = catch_unwind(command).unwrap_or(Ok(Exit::Bug)).unwrap_or_else(|error| {
        terminal::error(&error);
        Exit::UserError
    });
    ExitCode::from(exit as u8)
}
