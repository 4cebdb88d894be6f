//! The one place that prints.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the place")]

use ops::logs::Terminal;
use std::io::{self, IsTerminal, Write};

/// Prints a line of results to stdout. A reader that went away is no error.
///
/// # Errors
/// Where stdout can't be written, such as on a full disk.
pub fn result(line: &str) -> io::Result<()> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Tells a person something, on stderr.
pub fn note(line: &str) {
    eprintln!("{line}");
}

/// Where the log goes.
pub fn for_logs() -> Terminal {
    Terminal { print: log, is_watched: io::stderr().is_terminal() }
}

/// A whole line of the log.
fn log(line: &[u8]) {
    // A log that can't be written has nobody to be told.
    drop(io::stderr().lock().write_all(line));
}

/// Prints an error and what lies behind it, on stderr.
pub fn error(error: &anyhow::Error) {
    eprintln!("error: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  caused by: {cause}");
    }
}

/// Prints what clap has to say: help to stdout, errors to stderr.
pub fn usage(message: &clap::Error) {
    if message.use_stderr() {
        eprint!("{}", message.render());
    } else {
        print!("{}", message.render());
    }
}

/// Prints that the program itself is at fault, on stderr.
pub fn bug(what: &str) {
    eprintln!("error: this is a bug in agent: {what}");
}
