//! The environment: the only code that reads it. Secrets come this way, never as arguments.

#![expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The value of a variable; `None` if it is unset or isn't UTF-8.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Starts this program again in its own process, with the same arguments and one variable changed:
/// for libraries that read the environment by themselves. Returns only if that fails.
pub fn restart_with(name: &str, value: &str) -> io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(called) = arguments.next() {
        command.arg0(called);
    }
    command.args(arguments).env(name, value).exec()
}
